"""What each rank is asked about itself: planted faults are seen, and legal runs are not accused.

That no legal run is accused is also what `tests/worlds/virtual/test_jumping.py` shows, over
hundreds of seeds with quarantines, ill health and shutdowns.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from adpkv.core.health import HealthInputs
from adpkv.core.rules import Rules
from adpkv.core.stop import StopReason
from adpkv.executor.phases import Phases
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.virtual.run import Simulation
from tests.scenarios.story import MS, Script, arrival, setting
from tests.worlds.virtual.running import Ran, differences, run

CONTEXT, GENERATION = (0, 1), (2, 3)
ARRIVALS = [arrival(50 * i, 32, 4, wanted=i % 2) for i in range(100)]
"""Five seconds of requests, in turn for both ranks of both groups."""


def sick(fault: dict[str, Any] | None = None, **observe: Any) -> dict[str, Any]:
    """Request 0's transfer goes wrong; half a second to notice, another of grace."""
    return setting(
        "audit",
        2,
        2,
        executor={"drain_timeout": "100ms"},
        transceiver={
            "transfer_timeout": "100ms",
            "progress_deadline": "500ms",
            "shutdown_grace": "500ms",
        },
        faults=[] if fault is None else [{"requests": [0], **fault}],
        observe={"unbounded_wait": "200ms", **observe},
    )


def both(data: dict[str, Any], prepare: Any = None, **policy: Any) -> Ran:
    """Run it with and without jumping, under a policy; the same is seen both ways."""
    jumped, made = (
        run(
            data,
            jump=jump,
            workload=Script(ARRIVALS),
            prepare=prepare,
            assemble=partial(build_rank, **policy),
        )
        for jump in (True, False)
    )
    assert differences(jumped, made) == []
    return jumped


def stepped(data: dict[str, Any], phases: type[Phases], prepare: Any = None) -> Ran:
    """Every iteration is made: this policy says nothing of quiet times."""
    assemble = partial(build_rank, phases=phases)
    return run(data, jump=False, workload=Script(ARRIVALS), prepare=prepare, assemble=assemble)


def told(ran: Ran) -> list[tuple[str, int]]:
    return [(v["kind"], v["rank"]) for v in ran.summary["violations"]]


def concerned(ran: Ran) -> list[tuple[int, ...]]:
    return [e[4]["requests"] for e in ran.events if e[2] == "violation"]  # type: ignore[misc]


STALL = {"kind": "stall", "phase": "post"}
LATE = {"kind": "stall", "phase": "post", "duration": "2500ms"}
SLOW = {"kind": "stall", "phase": "post", "duration": "300ms"}


# -- shutdown ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "code"), [(None, 0), (SLOW, 0), (LATE, 75), (STALL, 75)])
def test_the_contract_is_not_accused(fault: dict[str, Any] | None, code: int) -> None:
    ran = both(sick(fault))
    assert (told(ran), ran.exit_code) == ([], code)


def never_ill(now_ns: int, seen: HealthInputs) -> tuple[str, ...]:
    return ()


@pytest.mark.parametrize("fault", [STALL, LATE], ids=["to the end", "ended since"])
def test_who_stays_in_spite_of_its_cause_is_seen(fault: dict[str, Any]) -> None:
    ran = both(sick(fault), rules=Rules(unhealthy_reasons=never_ill))
    assert sorted(told(ran)) == [("no_shutdown_with_cause", rank) for rank in (0, 2)]
    assert ran.exit_code == 4
    assert concerned(ran) == [(0,), (0,)]
    assert "request 0 was in quarantine for" in ran.summary["violations"][0]["detail"]


def budget_as_health(now_ns: int, seen: HealthInputs) -> tuple[str, ...]:
    return ("quarantine",) if seen.quarantined else ()


class FailClosed(Phases):
    """The first timeout shuts the worker down (#13706)."""

    def _resolve(self, now_ns: int) -> None:
        super()._resolve(now_ns)
        if len(self.rank.transceiver.book.quarantine):
            self.propose(StopReason(75, "a transfer timed out"))


@pytest.mark.parametrize(
    ("policy", "said", "seen"),
    [
        ({"rules": Rules(unhealthy_reasons=budget_as_health)}, "quarantine", "nothing wrong"),
        ({"phases": FailClosed}, "a transfer timed out", "nothing wrong"),
    ],
)
def test_who_leaves_without_cause_is_seen(policy: dict[str, Any], said: str, seen: str) -> None:
    ran = both(sick(STALL), **policy)
    kinds = {kind for kind, _ in told(ran)}
    assert kinds == {"shutdown_without_cause"}
    detail = ran.summary["violations"][0]["detail"]
    assert said in detail
    assert f"the contract sees {seen}" in detail
    assert 0 in concerned(ran)[0]


def test_a_grace_cut_short_is_no_cause() -> None:
    """Ill by the contract, but not for as long as it says."""

    class Hasty(Phases):
        def _check_health(self, now_ns: int) -> None:
            super()._check_health(now_ns)
            if now_ns >= self.rank.transceiver.monitor.grace_over_ns() - 300 * MS:
                self.propose(StopReason(75, "that is long enough"))

    ran = stepped(sick(STALL), Hasty)
    assert {kind for kind, _ in told(ran)} == {"shutdown_without_cause"}
    assert "contract sees stuck_in_quarantine for 0." in ran.summary["violations"][0]["detail"]


# -- input --------------------------------------------------------------------------------------


class Deaf(Phases):
    """Rank 1, no leader, iterates and looks at nothing that came in, for a second."""

    def observe(self) -> None:
        if self.rank.rank != 1 or not 100 * MS <= self.rank.ports.clock() < 1100 * MS:
            super().observe()

    def _rests_until_ns(self) -> int:
        return 0


class Unpolled(Phases):
    """Rank 3 never looks whether a transfer has ended."""

    def __init__(self, rank: Any, counts: Any) -> None:
        super().__init__(rank, counts)
        if rank.rank == 3:
            self.poll = lambda: False


def test_messages_that_is_not_read_is_seen_when_it_is() -> None:
    ran = stepped(sick(), Deaf)
    (violation,) = ran.summary["violations"]
    assert (violation["kind"], violation["rank"]) == ("unbounded_wait", 1)
    assert violation["detail"].startswith("messages lay there for 0.")
    assert violation["at_s"] >= 1.1


def test_what_is_never_read_is_seen_at_the_end() -> None:
    ran = both(sick(), phases=Unpolled)
    waits = [v for v in ran.summary["violations"] if v["kind"] == "unbounded_wait"]
    assert [v["rank"] for v in waits] == [3]
    assert waits[0]["detail"].startswith("the end of a transfer lay there for")
    assert (1,) in concerned(ran), "the first request that rank 3 received"


def test_a_rank_that_a_fault_stops_is_excused() -> None:
    def excuse(job: Simulation) -> None:
        job.world.excuse(0, 1100 * MS)  # one of its group: the others stand with it

    assert told(stepped(sick(), Deaf, excuse)) == []


def test_the_bound_can_be_set() -> None:
    assert told(stepped(sick(unbounded_wait="2s"), Deaf)) == []
