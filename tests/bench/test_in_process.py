"""The benches that run in this process, tiny."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest

from adpkv.bench.bare_world import bare_world
from adpkv.bench.events import heapq_rate
from adpkv.bench.fault_seam import fault_seam
from adpkv.bench.figure import Figure
from adpkv.bench.polling import InFlight, polling
from adpkv.bench.recording import recording
from adpkv.bench.scale import loaded, scale
from adpkv.memory.virtual import LedgerMemory
from adpkv.worlds.virtual.run import Simulation


def _sound(figures: list[Figure]) -> None:
    for one in figures:
        assert one.unit
        assert math.isfinite(one.value)
        assert one.value > 0
        assert (one.ratio is None) == (one.reference is None)


def _added(figures: list[Figure]) -> None:
    """What something adds to a reference may be lost in the noise, and then be below nothing."""
    for one in figures:
        assert one.unit
        assert one.reference is not None
        assert 0 < one.reference < math.inf
        assert math.isfinite(one.value)


def test_polling_compares_many_with_few() -> None:
    found = polling(many=50, few=10, finishing=2, polls=3, rounds=1)
    _sound(found)
    assert [one.name for one in found] == [
        "polling",
        "polling, ends at random",
        "polling, nothing finished",
    ]
    assert found[0].reference_name == "10 in flight"


@pytest.mark.parametrize("at_random", [False, True])
def test_polling_keeps_as_many_in_flight_as_it_says(at_random: bool) -> None:
    field = InFlight(20, at_random=at_random)
    for _ in range(5):
        field.poll(3)
    book = field.transceiver.book
    assert (book.in_flight, len(book.sessions)) == (20, 20)
    assert book.counts().completed == 15


def test_the_fault_seam_is_shown_beside_the_bare_operation() -> None:
    found = fault_seam(operations=10, rounds=1)
    _added(found)
    assert [one.name for one in found] == [
        "fault seam, post",
        "fault seam, poll",
        "fault seam, messages",
    ]
    assert all(one.reference_name == "the bare operation" for one in found)


def test_recording_is_shown_against_the_same_loop_without_it() -> None:
    found = recording(rounds=50, repetitions=1, members=2)
    assert [one.name for one in found] == [
        "flight recorder, per record",
        "flight recorder, per collective",
        "flight recorder, per empty poll",
    ]
    assert [one.target for one in found] == ["value <= 1", "value <= 2", ""]
    assert all(math.isfinite(one.value) for one in found)


def test_scale_has_two_figures_per_size_and_the_smallest_is_the_reference() -> None:
    found = scale(sizes=(8, 16), rank_iterations=200, least_requests=40, repetitions=1)
    _sound(found)
    assert [one.name.split(",")[0] for one in found] == ["scale", "scale", "load", "load"]
    assert [one.reference is None for one in found] == [True, False, True, False]
    assert (found[1].reference, found[3].reference) == (found[0].value, found[2].value)


@pytest.mark.parametrize(("ranks", "requests"), [(8, 400), (64, 384)])
def test_no_request_of_the_load_takes_a_block_from_the_cache(
    ranks: int, requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a small group, whose ranks serve more, would have more to do for each request. With
    fewer blocks some do."""
    taken: list[int] = []

    class Counting(LedgerMemory):
        def hand_out(self, owner: int, fresh: Sequence[int], evicted: Sequence[int]) -> None:
            taken.append(len(evicted))
            super().hand_out(owner, fresh, evicted)

    class Counted(Simulation):
        ledger = Counting

    Counted(loaded(ranks, requests)).run()
    assert len(taken) >= requests
    assert sum(taken) == 0
    monkeypatch.setattr("adpkv.bench.scale.BLOCKS_PER_REQUEST", 2)
    Counted(loaded(ranks, requests)).run()
    assert sum(taken) > 0


def test_the_bare_world_is_shown_beside_plain_events() -> None:
    (found,) = bare_world(ranks=16, rounds=8, repetitions=1)
    _sound([found])
    assert found.unit == "collectives/s"
    assert found.reference_name == "heapq events/s"


@pytest.mark.parametrize("rounds", [1, 3])
def test_the_event_loop_ends(rounds: int) -> None:
    assert heapq_rate(4, rounds) > 0


def test_either_way_comes_after_the_plain_copy_in_turn() -> None:
    """Each two in a row: whoever is next after the copy finds no cache of its own."""
    from adpkv.bench.transport_ranks import _Round, _Taken

    done: list[str] = []

    def move(name: str) -> Callable[[], _Round]:
        def moved() -> _Round:
            done.append(name)
            return _Round()

        return moved

    def copied() -> float:
        done.append("copy")
        return 1.0

    pair = SimpleNamespace(ours=move("ours"), bare=move("bare"), rig=SimpleNamespace(copy_s=copied))
    taken = _Taken()
    for _ in range(2):
        taken.turn(pair)  # type: ignore[arg-type]
    ways = ["bare", "ours", "copy", "ours", "bare", "copy"]
    assert done == [one for way in ways for one in (way, way)]
    assert len(taken.ours.first) == len(taken.ours.again) == len(taken.bare.again) == 2
