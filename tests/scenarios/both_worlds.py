"""Stories that are told in both worlds, and what each must have come to: the same in both.

A real run's clock belongs to the machine, so nothing here is held to a number of milliseconds:
what must hold is who, what, how often and in which order.
"""

from __future__ import annotations

from bisect import bisect, bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from adpkv.core.record import RequestRecord
from adpkv.core.report import RankReport
from adpkv.executor.collectives import Operation, Wait
from adpkv.workload.port import Arrival
from tests.scenarios.script import MS, arrival, setting

if TYPE_CHECKING:  # a real rank needs no virtual world
    from tests.scenarios.story import Told
    from tests.worlds.virtual.running import Event

__all__ = ["STORIES", "Met", "Seen", "Story", "met", "seen_of"]

CONTEXT, GENERATION = range(4), range(4, 8)
R1, R2, R3 = GENERATION[1:]

BUSY_WAIT_NS = 10 * MS
"""The default bound of a wait while any rank has something open (contract 5.6)."""


class Met(msgspec.Struct, frozen=True, array_like=True):
    """One collective as a rank came to it. `staged` are the requests that it brought to a flush,
    `limit_ns` is how long it would wait at most."""

    at_ns: int
    kind: str
    site: str
    iteration: int
    staged: tuple[int, ...] = ()
    limit_ns: int = -1


def met(at_ns: int, operation: Operation) -> Met:
    """What a trace keeps of a collective."""
    staged: tuple[int, ...] = ()
    if operation.site == "flush":
        staged = tuple(r.request_id for r in operation.payload)  # type: ignore[attr-defined]
    limit_ns = operation.limit_ns if isinstance(operation, Wait) else -1
    return Met(at_ns, operation.kind, operation.site, operation.iteration, staged, limit_ns)


@dataclass
class Seen:
    """What a run leaves behind, whichever world it ran in."""

    summary: dict[str, Any]
    records: Sequence[RequestRecord]
    events: Sequence[Event]
    reports: Sequence[RankReport]
    traces: dict[int, list[Met]]

    @property
    def outcomes(self) -> list[str]:
        """What each client was told, by request."""
        return [str(r.outcome) for r in sorted(self.records, key=lambda r: r.request_id)]

    def record(self, request: int) -> RequestRecord:
        return next(r for r in self.records if r.request_id == request)

    def event(self, kind: str, request: int, rank: int) -> Event:
        """The first such event."""
        found = [e for e in self.events if e[1:4] == (rank, kind, request)]
        assert found, f"no {kind} of request {request} on rank {rank}"
        return found[0]

    def at_ns(self, kind: str, request: int, rank: int) -> int:
        return self.event(kind, request, rank)[0]

    def between(self, rank: int, request: int, kinds: tuple[str, str], whose: int) -> list[Met]:
        """A rank's collectives between two events of a request on `whose` rank of its group.

        Which ones that are, only that rank's own clock can say; a group's traces are the same, so
        its places in them count for the others.
        """
        since_ns, until_ns = (self.at_ns(kind, request, whose) for kind in kinds)
        times = [m.at_ns for m in self.traces[whose]]
        return self.traces[rank][bisect(times, since_ns) : bisect_left(times, until_ns)]

    def flushes(self, ranks: Sequence[int]) -> list[list[list[int]]]:
        """What the ranks of a group brought to each flush where anybody brought anything."""
        brought = [[list(m.staged) for m in self.traces[r] if m.site == "flush"] for r in ranks]
        rounds = [list(lists) for lists in zip(*brought, strict=True)]
        return [lists for lists in rounds if any(lists)]


@dataclass(frozen=True)
class Story:
    """An experiment with its arrivals, and what must have come of it."""

    data: dict[str, Any]
    arrivals: Sequence[Arrival]
    came_to: Callable[[Seen], None]
    in_doubt: Sequence[int] = ()
    code: int = 0
    unheard: Sequence[int] = field(default=())
    """Requests that never came, because the job ended before."""

    def check(self, seen: Seen) -> None:
        """What passing means for every story, then for this one."""
        assert seen.summary["violations"] == []
        assert seen.summary["exit_code"] == self.code
        asked = range(len(self.arrivals) - len(self.unheard))
        assert Counter(r.request_id for r in seen.records) == Counter(asked)
        assert all(record.responses <= 1 for record in seen.records)
        for report in seen.reports:
            _has_its_blocks(report, report.rank in self.in_doubt)
            assert report.exit_code == self.code
        for group in (CONTEXT, GENERATION):
            _have_the_same_trace(seen, group)
        self.came_to(seen)


def _has_its_blocks(report: RankReport, in_doubt: bool) -> None:
    blocks, transfers = report.blocks, report.transfers
    assert (blocks.quarantined > 0) == in_doubt, f"rank {report.rank}: {blocks}"
    assert (transfers.quarantined_now > 0) == in_doubt
    assert blocks.free + blocks.cached + blocks.quarantined == blocks.total
    assert blocks.leaked == 0


def _have_the_same_trace(seen: Seen, group: Sequence[int]) -> None:
    traces = [[(m.kind, m.site, m.iteration) for m in seen.traces[rank]] for rank in group]
    assert all(trace == traces[0] for trace in traces), "the group's ranks met differently"
    reports = [seen.reports[rank] for rank in group]
    assert len({report.iterations for report in reports}) == 1, "all leave together"
    assert len({report.collectives for report in reports}) == 1
    assert all(report.mismatches == 0 for report in reports)


def seen_of(told: Told) -> Seen:
    """The virtual world's run."""
    ranks = range(told.job.topology.ranks)
    traces = {rank: [met(*operation) for operation in told.operations(rank)] for rank in ranks}
    ran = told.ran
    return Seen(told.summary, ran.records, ran.events, ran.reports, traces)


# -- 1 -----------------------------------------------------------------------------------------


def completion_on_one_rank() -> Story:
    """r7's transfer ends when all others are long done: on R2 alone."""
    faults = [{"kind": "delay", "phase": "expect", "requests": [7], "duration": "1500ms"}]
    arrivals = [arrival(0, 32, 2 + 3 * i, wanted=i % 4) for i in range(7)]
    return Story(
        setting("completion", 4, 4, faults=faults),
        [*arrivals, arrival(10, 32, 4, wanted=2)],
        _completed_on_one_rank,
    )


def _completed_on_one_rank(seen: Seen) -> None:
    assert seen.outcomes == ["completed"] * 8
    assert seen.event("fault", 7, R2)[4] == {"fault": "delay", "phase": "expect"}
    flushes = seen.flushes(GENERATION)
    assert flushes[-1] == [[], [], [7], []], "staged; the others join with empty lists"
    answered = [request for lists in flushes for some in lists for request in some]
    assert sorted(answered) == list(range(8)), "each request leaves in one flush, from one rank"


# -- 5 -----------------------------------------------------------------------------------------


def wedged_transfer() -> Story:
    """r3's bytes never come; what comes in the meantime is served in the meantime."""
    data = setting(
        "wedged",
        4,
        4,
        executor={"drain_timeout": "200ms"},
        transceiver={"transfer_timeout": "1500ms"},
        faults=[{"kind": "stall", "requests": [3]}],
    )
    # Its own rank decodes r0 all the while, and gets more.
    arrivals = [arrival(0, 32, 60, wanted=3)]
    arrivals += [arrival(10 * i, 32, 4, wanted=3 if i == 3 else i % 4) for i in range(1, 16)]
    return Story(data, arrivals, _went_on_beside_it, in_doubt=[CONTEXT[3], R3])


def _went_on_beside_it(seen: Seen) -> None:
    expected = ["completed"] * 16
    expected[3] = "timed_out"
    assert seen.outcomes == expected
    meanwhile = ("advertised", "quarantined")
    since_ns, until_ns = (seen.at_ns(kind, 3, R3) for kind in meanwhile)
    assert seen.event("quarantined", 3, R3)[4] == {"cause": "deadline"}
    for rank in GENERATION:
        kinds = Counter(m.kind for m in seen.between(rank, 3, meanwhile, R3))
        assert kinds["step"] > 20, f"rank {rank} goes on decoding: {kinds}"
    own = [r for r in seen.records if r.generation_rank == R3 and r.request_id != 3]
    assert [r for r in own if since_ns < r.ended_ns < until_ns], "its own rank serves others"
    assert seen.at_ns("responded", 3, R3) >= until_ns, "the client is told at the deadline"
    counts = seen.summary["transfers"]
    assert (counts["timed_out"], counts["quarantined_now"]) == (1, 2), "in doubt on both sides"
    assert seen.summary["health"]["unhealthy_intervals"] == 0


# -- 11 ----------------------------------------------------------------------------------------


def idle_sleep() -> Story:
    """The only request is in transfer, and nothing else will wake anybody."""
    return Story(
        setting("idle-sleep", 4, 4, faults=[{"kind": "delay", "duration": "1s"}]),
        [arrival(0, 32, 4, wanted=1)],
        _was_delivered,
    )


def _was_delivered(seen: Seen) -> None:
    assert seen.outcomes == ["completed"]
    meanwhile = ("advertised", "complete")
    for rank in GENERATION:
        kinds = Counter(m.kind for m in seen.between(rank, 0, meanwhile, R1))
        assert kinds["step"] == 0, "nothing can run"
        assert kinds["wait"] > 20, f"and still rank {rank} looks, for another's transfer"
    waits = [m for m in seen.between(R1, 0, meanwhile, R1) if m.kind == "wait"]
    assert {m.limit_ns for m in waits} == {BUSY_WAIT_NS}


def idle_stuck() -> Story:
    """The same, for ever: deadline and health need no new work to fire."""
    data = setting(
        "idle-stuck",
        4,
        4,
        executor={"drain_timeout": "200ms"},
        transceiver={
            "transfer_timeout": "500ms",
            "progress_deadline": "1s",
            "shutdown_grace": "500ms",
        },
        faults=[{"kind": "stall", "requests": [0]}],
    )
    return Story(
        data,
        [arrival(0, 32, 4, wanted=1), arrival(60_000, 32, 4)],
        _was_given_up,
        in_doubt=[CONTEXT[1], R1],
        code=75,
        unheard=[1],
    )


def _was_given_up(seen: Seen) -> None:
    assert seen.outcomes == ["timed_out"]
    assert seen.summary["outcome"] == "unhealthy"
    order = [
        seen.at_ns("advertised", 0, R1),
        seen.at_ns("quarantined", 0, R1),
        seen.at_ns("health", -1, R1),
        seen.at_ns("stopping", -1, R1),
    ]
    assert order == sorted(order)
    assert seen.event("health", -1, R1)[4]["healthy"] is False
    assert seen.summary["transfers"]["quarantined_now"] == 2


# -- 12 ----------------------------------------------------------------------------------------


def one_ranks_ill_health() -> Story:
    """R3 never sees the end of its first transfer; it also decodes a pinned request for long,
    beside others."""
    data = setting(
        "one-ill-rank",
        4,
        4,
        executor={"drain_timeout": "200ms"},
        kv_cache={"block_tokens": 16, "blocks": 128},
        transceiver={
            "transfer_timeout": "500ms",
            "progress_deadline": "1s",
            "shutdown_grace": "1s",
        },
        faults=[{"kind": "stall", "phase": "expect", "ranks": [R3], "count": 1}],
    )
    arrivals = [arrival(10, 32, 4, wanted=3)]
    arrivals += [arrival(50, 32, 1_500, wanted=i) for i in range(4)]
    arrivals += [arrival(50 + 50 * i, 32, 4, wanted=i % 3) for i in range(1, 20)]
    return Story(data, arrivals, _all_left, in_doubt=[R3], code=75)


def _all_left(seen: Seen) -> None:
    assert seen.summary["outcome"] == "unhealthy"
    ill = [seen.reports[rank].unhealthy_intervals for rank in GENERATION]
    assert ill == [0, 0, 0, 1]
    assert "stuck_in_quarantine" in seen.reports[R3].reasons
    wedged, *pinned = seen.outcomes[:5]
    assert (wedged, pinned) == ("timed_out", ["failed"] * 4)
    assert all("unhealthy" in seen.record(request).detail for request in range(1, 5))
    assert seen.reports[R3].transfers.quarantined_now == 1
    assert seen.reports[R3].blocks.quarantined == 3, "32 + 4 tokens in blocks of 16"


STORIES: dict[str, Callable[[], Story]] = {
    "1_completion_on_one_rank": completion_on_one_rank,
    "5_wedged_transfer": wedged_transfer,
    "11_idle_sleep": idle_sleep,
    "11_idle_stuck": idle_stuck,
    "12_one_ranks_ill_health": one_ranks_ill_health,
}
