"""Health is judged from progress: contract 4.2 a to c at their exact boundaries, and 4.5."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from adpkv.core.health import HealthInputs, HealthMonitor, next_change_ns, unhealthy_reasons
from adpkv.core.ids import NEVER

DEADLINE, BUDGET = 60, 3
QUIET = HealthInputs(
    in_flight=0,
    moved_ns=0,
    quarantined=0,
    oldest_ns=NEVER,
    quarantine_moved_ns=NEVER,
    budget=BUDGET,
    deadline_ns=DEADLINE,
)


def test_nothing_in_flight_is_healthy_for_ever() -> None:
    assert unhealthy_reasons(10**18, QUIET) == ()
    assert next_change_ns(QUIET) == NEVER


def test_a_no_progress_for_longer_than_the_deadline() -> None:
    seen = replace(QUIET, in_flight=1, moved_ns=100)
    assert unhealthy_reasons(100 + DEADLINE, seen) == ()
    assert unhealthy_reasons(100 + DEADLINE + 1, seen) == ("no_progress",)


def test_b_one_entry_in_quarantine_for_longer_than_the_deadline() -> None:
    """Six stuck transfers hidden by other completions (#13831)."""
    seen = replace(QUIET, in_flight=9, quarantined=1, oldest_ns=100)
    at = 100 + DEADLINE
    assert unhealthy_reasons(at, replace(seen, moved_ns=at)) == ()
    assert unhealthy_reasons(at + 1, replace(seen, moved_ns=at + 1)) == ("stuck_in_quarantine",)


def test_c_more_than_the_budget_and_none_has_moved() -> None:
    seen = replace(QUIET, in_flight=9, quarantined=BUDGET + 1, quarantine_moved_ns=100)
    at = 100 + DEADLINE
    fresh = {"oldest_ns": at, "moved_ns": at}
    assert unhealthy_reasons(at, replace(seen, **fresh)) == ()
    assert unhealthy_reasons(at + 1, replace(seen, **fresh)) == ("quarantine_over_budget",)
    assert unhealthy_reasons(at + 1, replace(seen, quarantined=BUDGET, **fresh)) == ()


def test_slow_is_not_stuck() -> None:
    """Twenty slow transfers that end steadily, far over the budget: healthy (scenario 7a)."""
    for now in range(0, 1000, 10):
        seen = replace(
            QUIET,
            in_flight=20,
            moved_ns=now,
            quarantined=20,
            oldest_ns=max(0, now - DEADLINE),
            quarantine_moved_ns=now,
        )
        assert unhealthy_reasons(now, seen) == ()


def test_all_reasons_are_named() -> None:
    seen = replace(
        QUIET, in_flight=4, quarantined=4, oldest_ns=0, quarantine_moved_ns=0, moved_ns=0
    )
    assert unhealthy_reasons(DEADLINE + 1, seen) == (
        "no_progress",
        "stuck_in_quarantine",
        "quarantine_over_budget",
    )


@given(
    st.integers(0, 5), st.integers(0, 99), st.integers(0, 5), st.integers(0, 99), st.integers(0, 99)
)
def test_the_next_change_is_when_a_reason_first_appears(
    in_flight: int, moved: int, quarantined: int, oldest: int, quarantine_moved: int
) -> None:
    seen = replace(
        QUIET,
        in_flight=in_flight,
        moved_ns=moved,
        quarantined=quarantined,
        oldest_ns=oldest,
        quarantine_moved_ns=quarantine_moved,
    )
    at = next((t for t in range(200) if unhealthy_reasons(t, seen)), NEVER)
    assert next_change_ns(seen) == at


ILL = ("no_progress",)


def test_the_grace_runs_from_the_first_ill_look() -> None:
    monitor = HealthMonitor(grace_ns=100)
    assert monitor.grace_over_ns() == NEVER
    assert monitor.update(10, ILL)
    assert not monitor.update(50, ILL)
    assert monitor.grace_over_ns() == 110


def test_another_reason_is_the_same_ill_health() -> None:
    monitor = HealthMonitor(grace_ns=100)
    monitor.update(10, ILL)
    assert not monitor.update(50, ("stuck_in_quarantine",))
    assert monitor.grace_over_ns() == 110
    assert list(monitor.seen_reasons) == ["no_progress", "stuck_in_quarantine"]


def test_recovery_resets_the_grace() -> None:
    monitor = HealthMonitor(grace_ns=100)
    monitor.update(10, ILL)
    assert monitor.update(20, ())
    assert monitor.grace_over_ns() == NEVER
    assert monitor.update(90, ILL)
    assert monitor.grace_over_ns() == 190


def test_intervals_are_counted_and_the_first_is_remembered() -> None:
    monitor = HealthMonitor(grace_ns=100)
    for now, reasons in ((10, ILL), (11, ILL), (20, ()), (30, ILL), (40, ())):
        monitor.update(now, reasons)
    assert (monitor.intervals, monitor.first_unhealthy_ns) == (2, 10)


def test_healthy_looks_change_nothing() -> None:
    monitor = HealthMonitor(grace_ns=100)
    assert not monitor.update(10, ())
    assert (monitor.intervals, monitor.first_unhealthy_ns) == (0, -1)


@pytest.mark.parametrize("now", [0, 5])
def test_health_that_begins_at_zero_is_remembered(now: int) -> None:
    monitor = HealthMonitor(grace_ns=1)
    monitor.update(now, ILL)
    assert monitor.first_unhealthy_ns == now
