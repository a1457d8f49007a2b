"""Clients: cancels and pins belong to the request's number."""

from __future__ import annotations

import pytest

from adpkv.workload.cancels import Clients


def test_patient_clients_never_cancel_and_never_insist() -> None:
    clients = Clients(seed=1)
    assert {clients.cancel_ns(n) for n in range(100)} == {-1}
    assert {clients.wanted(n) for n in range(100)} == {None}


def test_cancels_come_with_their_probability_and_within_their_delay() -> None:
    clients = Clients(1, cancel_probability=0.25, cancel_after_min_ns=10, cancel_after_max_ns=20)
    drawn = [clients.cancel_ns(n) for n in range(2000)]
    cancelled = [ns for ns in drawn if ns >= 0]
    assert len(cancelled) / len(drawn) == pytest.approx(0.25, abs=0.03)
    assert set(cancelled) == set(range(10, 21))


def test_certain_cancels_cancel_all() -> None:
    clients = Clients(1, cancel_probability=1.0, cancel_after_min_ns=5, cancel_after_max_ns=5)
    assert {clients.cancel_ns(n) for n in range(50)} == {5}


def test_a_draw_does_not_depend_on_the_order_of_asking() -> None:
    clients = Clients(9, cancel_probability=0.5, cancel_after_max_ns=100, pinned=0.5, ranks=4)
    forwards = [(clients.cancel_ns(n), clients.wanted(n)) for n in range(50)]
    backwards = [(clients.cancel_ns(n), clients.wanted(n)) for n in reversed(range(50))]
    assert forwards == backwards[::-1]


def test_pinned_clients_want_a_rank_that_exists() -> None:
    clients = Clients(1, pinned=1.0, ranks=3)
    assert {clients.wanted(n) for n in range(100)} == {0, 1, 2}
