"""`summary.json`: a run in one object, with the same keys in both worlds (docs/outputs.md)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from adpkv import __version__
from adpkv.build import build
from adpkv.core.report import (
    BlockCounts,
    FaultCount,
    RankReport,
    diverging_traces,
)
from adpkv.core.topology import Kind, Topology
from adpkv.core.values import Outcome, Violation
from adpkv.errors import AdpkvError
from adpkv.exit_codes import OUTCOMES, ExitCode, worst
from adpkv.output.faults import fired, unfired
from adpkv.output.measures import latency, rates, utilisation
from adpkv.output.requests import Tally

if TYPE_CHECKING:
    from adpkv.config import Experiment

__all__ = ["BrokenOff", "Ending", "build_summary", "ending_of"]

NS_PER_S: Final = 1e9
NS_PER_US: Final = 1e3
NO_OUTAGES: Final = MappingProxyType({"outages": (), "maintenance_missed": ()})


class BrokenOff(msgspec.Struct, frozen=True):
    """Why a run ended without the agreement of its ranks."""

    exit_code: int
    why: str
    unanswered: int | None = None
    """Requests of its workload that have no answer; None where nobody knows."""

    @classmethod
    def by(cls, error: BaseException, unanswered: int | None = None) -> BrokenOff:
        """What is said of an error that ended a run."""
        why = str(error).partition("\n")[0].rstrip(":")
        if isinstance(error, AdpkvError):
            return cls(error.exit_code, why, unanswered)
        return cls(AdpkvError.exit_code, f"{type(error).__name__}: {why}", unanswered)

    @classmethod
    def killed(cls) -> BrokenOff:
        """Of a run that nobody has summed up."""
        why = "there is no summary.json: the run was killed, or is still at work"
        return cls(ExitCode.RANK_LOST, why)

    def told(self) -> dict[str, object]:
        """As `summary.json` has it."""
        return {"why": self.why, "unanswered": self.unanswered}


class Ending(NamedTuple):
    """How a run has ended, without any measure of it."""

    exit_code: int
    lost: list[int]
    """The ranks that have failed."""
    violations: list[Violation]
    """In the order of their times."""


def ending_of(
    experiment: Experiment,
    reports: Sequence[RankReport],
    *,
    served: bool,
    violations: Sequence[Violation] = (),
    exit_codes: Iterable[int] = (),
    lost: Collection[int] = (),
    broken_off: BrokenOff | None = None,
) -> Ending:
    """How a run has ended. `served`: every request has an answer, and none of them failed. The
    other arguments are those of `build_summary`."""
    found = [*(v for report in reports for v in report.violations), *violations]
    if broken_off is None:
        found += diverging_traces(reports)
    found.sort(key=lambda v: (v.at_ns, v.rank))
    silent = set(range(experiment.topology.build().ranks)) - {r.rank for r in reports}
    failed = sorted({*lost, *(silent if broken_off is None else ())})
    codes = [*(report.exit_code for report in reports), *exit_codes]
    if failed and (experiment.on_rank_failure == "shutdown" or not reports):
        codes.append(ExitCode.RANK_LOST)
    codes += [ExitCode.VIOLATION] if found else []
    return Ending(_exit_code(codes, broken_off, served), failed, found)


def build_summary(
    world: str,
    experiment: Experiment,
    reports: Sequence[RankReport],
    tally: Tally,
    *,
    wall_s: float,
    simulated_s: float | None,
    violations: Sequence[Violation] = (),
    exit_codes: Iterable[int] = (),
    last_counts: Mapping[int, Sequence[FaultCount]] = MappingProxyType({}),
    lost: Collection[int] = (),
    broken_off: BrokenOff | None = None,
    never_arrived: int | None = None,
    retries_due: int = 0,
    carrier: str | None = None,
    ranks_per_core: float | None = None,
    outages: Mapping[str, object] = NO_OUTAGES,
) -> dict[str, object]:
    """Sum up a run from its ranks' reports and its requests.

    `violations` and `exit_codes` are those that no rank's report holds: the coordinator's, the
    world's. `last_counts` are the faults of ranks that failed without a report, where they are
    known. `lost` are those that failed after their report; a rank without a report counts as failed
    in any case. After a run that was `broken_off` that is not so: a rank without a report may be
    alive, and the ranks of a group may have made different numbers of collectives. `never_arrived`
    counts the workload's requests that were still to come; None where nobody knows. `retries_due`
    are those that clients had still to send again. Where time was real, `simulated_s` is None, and
    `carrier` carried the collectives. Iterations and collectives are counted once per group.
    """
    topology = experiment.topology.build()
    exit_code, failed, found = ending_of(
        experiment,
        reports,
        served=never_arrived == 0 and not retries_due and not tally.outcomes[Outcome.FAILED],
        violations=violations,
        exit_codes=exit_codes,
        lost=lost,
        broken_off=broken_off,
    )
    return _made_by(experiment, world) | {
        "ranks": topology.ranks,
        "ranks_per_core": ranks_per_core,
        "seed": experiment.seed,
        "outcome": OUTCOMES[exit_code],
        "exit_code": exit_code,
        "broken_off": None if broken_off is None else broken_off.told(),
        "lost": failed,
        "recomputed": tally.recomputed,
        "wall_s": wall_s,
        "simulated_s": simulated_s,
        "iterations": _once_per_group(topology, {r.rank: r.iterations for r in reports}),
        "requests": _requests(tally, never_arrived),
        "failures": _failures(tally),
        "responses": {"terminal": tally.terminal, "duplicates": _duplicates(found)},
        "transfers": (transfers := _transfers(topology, reports)),
        **_places(experiment, topology, reports),
        "latency": latency(tally, reports),
        "rates": _rates(experiment, tally, reports, transfers),
        "utilisation": utilisation(
            topology, reports, wall_s if simulated_s is None else simulated_s
        ),
        "collectives": _collectives(topology, reports, carrier),
        **_troubles(topology, reports, outages),
        "violations": [
            {"kind": v.kind, "rank": v.rank, "at_s": v.at_ns / NS_PER_S, "detail": v.detail}
            for v in found
        ],
        **_faults(experiment, topology, reports, last_counts),
    }


def _made_by(experiment: Experiment, world: str) -> dict[str, object]:
    made_by: dict[str, object] = {"adpkv": __version__, "build": build(), "world": world}
    return made_by | experiment.ports_in(world)


def _exit_code(codes: Sequence[int], broken_off: BrokenOff | None, served: bool) -> int:
    """Code 75 (unhealthy) asks for a restart, which would serve what is left: where every request
    was `served`, none of them failed, nothing is left, and it does not count."""
    if broken_off is not None:
        return broken_off.exit_code
    return worst(code for code in codes if code != ExitCode.UNHEALTHY or not served)


def _requests(tally: Tally, never_arrived: int | None) -> dict[str, int | None]:
    ended = (Outcome.COMPLETED, Outcome.CANCELLED, Outcome.TIMED_OUT, Outcome.FAILED)
    told = (*ended, Outcome.REFUSED)
    return {
        "submitted": tally.submitted,
        **{outcome.value: tally.outcomes[outcome] for outcome in told},
        "never_arrived": never_arrived,
    }


def _failures(tally: Tally) -> list[dict[str, object]]:
    return [
        {"request": r.request_id, "outcome": r.outcome, "detail": r.detail} for r in tally.failures
    ]


def _faults(
    experiment: Experiment,
    topology: Topology,
    reports: Sequence[RankReport],
    last_counts: Mapping[int, Sequence[FaultCount]],
) -> dict[str, object]:
    told = {**last_counts, **{report.rank: report.faults for report in reports}}
    counts = [count for by_rank in told.values() for count in by_rank]
    silent = [rank for rank in range(topology.ranks) if rank not in told]
    return {
        "faults": fired(experiment, counts),
        "unfired": unfired(experiment, counts, silent),
    }


def _once_per_group(topology: Topology, by_rank: dict[int, int]) -> int:
    # The largest and not the leader's: a rank that ended early has joined fewer.
    return sum(
        max((by_rank.get(rank, 0) for rank in instance.members), default=0)
        for instance in topology.instances
    )


def _transfers(topology: Topology, reports: Sequence[RankReport]) -> dict[str, int]:
    """Each transfer counts once, as its receiver saw it; what is in doubt counts on both sides.

    The peak is the worst rank's, because the budget that it is held against is a rank's.
    """
    receivers = {r for i in topology.of_kind(Kind.GENERATION) for r in i.members}
    received = [report.transfers for report in reports if report.rank in receivers]
    every = [report.transfers for report in reports]
    return {
        "completed": sum(t.completed for t in received),
        "failed": sum(t.failed for t in received),
        "cancelled": sum(t.cancelled for t in received),
        "timed_out": sum(t.timed_out for t in received),
        "late": sum(t.late for t in every),
        "bytes": sum(t.bytes for t in received),
        "bytes_cached": sum(t.bytes_cached for t in received),
        "cached": sum(t.cached for t in received),
        "quarantined_peak": max((t.quarantined_peak for t in every), default=0),
        "quarantined_now": sum(t.quarantined_now for t in every),
    }


def _rates(
    experiment: Experiment, tally: Tally, reports: Sequence[RankReport], moved: dict[str, int]
) -> dict[str, float | None]:
    kept = moved if experiment.kv_cache.reuse_received else None
    return rates(tally, reports, kept, has_slo=experiment.slo is not None)


def _places(
    experiment: Experiment, topology: Topology, reports: Sequence[RankReport]
) -> dict[str, object]:
    """Where KV is at the end: in blocks, and with staging in slots."""
    return {"blocks": _blocks(topology, reports), "staging": _staging(experiment, reports)}


def _blocks(topology: Topology, reports: Sequence[RankReport]) -> dict[str, dict[str, int]]:
    counts = {report.rank: msgspec.structs.asdict(report.blocks) for report in reports}
    nothing = msgspec.structs.asdict(BlockCounts())
    return {
        instance.name: {
            key: sum(counts.get(rank, nothing)[key] for rank in instance.members) for key in nothing
        }
        for instance in topology.instances
    }


def _staging(experiment: Experiment, reports: Sequence[RankReport]) -> dict[str, int] | None:
    """The staging slots of all ranks together; None without staging."""
    if experiment.staging is None:
        return None
    counts = [report.staging for report in reports if report.staging is not None]
    return {
        "total": sum(count.total for count in counts),
        "free": sum(count.free for count in counts),
        "quarantined": sum(count.quarantined for count in counts),
    }


def _collectives(
    topology: Topology, reports: Sequence[RankReport], carrier: str | None
) -> dict[str, object]:
    joins = sum(report.collectives for report in reports)
    spent_ns = sum(report.collectives_ns for report in reports)
    return {
        "count": _once_per_group(topology, {r.rank: r.collectives for r in reports}),
        "mismatches": sum(report.mismatches for report in reports),
        "mean_us": spent_ns / joins / NS_PER_US if joins else None,
        "over": carrier,
    }


def _duplicates(found: Sequence[Violation]) -> int:
    return sum(violation.kind == "two_terminal_responses" for violation in found)


def _troubles(
    topology: Topology, reports: Sequence[RankReport], outages: Mapping[str, object]
) -> dict[str, object]:
    """Who was ill, and what was done about it."""
    avoided = _avoided(topology, reports)
    return {"health": _health(reports), "avoided": avoided, **outages}


def _avoided(topology: Topology, reports: Sequence[RankReport]) -> list[dict[str, object]]:
    """The ranks that were avoided after failures of their own, in order."""
    return [
        {
            "rank": report.rank,
            "instance": topology.instance_of(report.rank).name,
            "times": found.times,
            "probes": found.probes,
            "readmitted": found.readmitted,
            "for_s": found.spent_ns / NS_PER_S,
            "now": found.now,
        }
        for report in reports
        for found in (report.avoidance,)
        if found.times
    ]


def _health(reports: Sequence[RankReport]) -> dict[str, object]:
    """As the ranks reported it. The rank that was unhealthy may have failed since: then its reasons
    are known from the stop that it proposed, and it was unhealthy once at least."""
    first = [r.first_unhealthy_ns for r in reports if r.first_unhealthy_ns >= 0]
    told = [r.stop.unhealthy for r in reports if r.stop is not None and r.stop.unhealthy]
    reasons = [reason for each in (*(r.reasons for r in reports), *told) for reason in each]
    return {
        "unhealthy_intervals": max(sum(r.unhealthy_intervals for r in reports), min(len(told), 1)),
        "first_unhealthy_s": min(first) / NS_PER_S if first else None,
        "reasons": list(dict.fromkeys(reasons)),
    }
