"""What must hold of any experiment that is valid, whatever its seed."""

from __future__ import annotations

from typing import Any, Final

from adpkv.config import Experiment, parse
from adpkv.core.session import Event
from adpkv.core.topology import Kind
from adpkv.errors import (
    AdpkvError,
    DeadlockError,
    EndOfTimeError,
    RankProgramError,
    StuckError,
    TraceError,
)
from adpkv.field_policies import assembly
from tests.worlds.virtual.running import Ran, differences, problems, run

__all__ = ["BROKEN_BY_DESIGN", "DEEPER", "MOST_EVENTS", "Judged", "judge"]

MOST_EVENTS: Final = 3_000
"""Of an experiment's event queue; what has more is no small experiment, and is left out."""

DEEPER: Final = 10
"""One experiment in so many may have so many times more."""

BROKEN_BY_DESIGN: Final = frozenset({"write_after_cancel", "false_completion"})
"""Kinds of fault that no rank can survive without an oracle's word: the hardware lies."""


class Judged:
    """What was found wrong with an experiment, and how far it was looked at."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.experiment: Experiment = parse(data, data["name"])
        self.found: list[str] = []
        self.left_out: list[str] = []
        """Oracles that were not asked, and why."""
        self.code: int | None = None

    @property
    def historical(self) -> bool:
        """Does it do what the field did before the contract? Then it may end as that did."""
        return bool(self.experiment.policy.historical())

    @property
    def clean(self) -> bool:
        """Nothing goes wrong: no fault, no policy."""
        return not self.experiment.faults and not self.historical

    @property
    def lied_to(self) -> bool:
        """Does a part of the machine tell a rank what is not true?"""
        return any(fault.kind in BROKEN_BY_DESIGN for fault in self.experiment.faults)

    def run(self, *, jump: bool = True, most: int = MOST_EVENTS) -> Ran | AdpkvError | None:
        """One run: what came of it, the documented error that it broke off with, or None of one
        that is not over after so many events. What is found is noted."""
        assemble = assembly(self.experiment)
        try:
            return run(self.data, jump=jump, assemble=assemble, most_events=most)
        except AssertionError as error:
            if "does not end" not in str(error):
                self.found.append(f"{type(error).__name__}: {error}")
            else:
                self.left_out.append(f"jump={jump}: more than {most} events")
            return None
        except AdpkvError as error:
            if not self.may_break_off(error):
                self.found.append(f"{type(error).__name__}: {error}")
            return error
        except Exception as error:  # whatever it is, it is a find
            self.found.append(f"{type(error).__name__}: {error}")
            return None

    def may_break_off(self, error: AdpkvError) -> bool:
        """Is this an end that such an experiment may have?"""
        if self.historical:
            return isinstance(error, StuckError | RankProgramError) or error.exit_code in (2, 5)
        if isinstance(error, EndOfTimeError | TraceError):
            return True
        if isinstance(error, DeadlockError) and self._stops_for_long():
            return True
        return error.exit_code == 5 and any(f.kind == "sigkill" for f in self.experiment.faults)

    def _stops_for_long(self) -> bool:
        """May a process be stopped for as long as its group waits for it? That is a hang, whoever
        did it."""
        faults = [fault for fault in self.experiment.faults if fault.kind == "sigstop"]
        longest_ns = sum((fault.count or 1) * (fault.duration_ns or 0) for fault in faults)
        ranks = self.experiment.topology.ranks
        return longest_ns * ranks >= self.experiment.hang_ns


def judge(data: dict[str, Any], most: int = MOST_EVENTS, *, again: bool = True) -> Judged:
    """Run an experiment, `again`, and without jumping; what is wrong with a run or between two."""
    judged = Judged(data)
    jumped = judged.run(most=most)
    if isinstance(jumped, Ran):
        judged.code = jumped.exit_code
        judged.found += _wrong_with(judged, jumped)
    elif isinstance(jumped, AdpkvError):
        judged.code = jumped.exit_code
    if jumped is None or judged.found:
        return judged
    if again:
        _compare(judged, "again", jumped, judged.run(most=most))
    if isinstance(jumped, Ran) and _waits(judged.experiment, jumped) > most:
        judged.left_out.append("not jumped: it waits too often")
        return judged
    stepped = judged.run(jump=False, most=2 * most)
    if stepped is not None:
        _compare(judged, "not jumped", jumped, stepped)
    return judged


def _waits(experiment: Experiment, ran: Ran) -> float:
    """How often ranks look around at least, if nobody jumps."""
    seconds = float(ran.summary["simulated_s"])
    return seconds * 1e9 / experiment.executor.idle_wait_ns * experiment.topology.ranks


def _wrong_with(judged: Judged, ran: Ran) -> list[str]:
    code = ran.exit_code
    if judged.historical or judged.lied_to:
        return [] if code in (0, 4, 5, 75) else [f"exit code {code}"]
    found = problems(ran)
    if judged.clean:
        found += _wrong_where_all_is_well(ran)
    requests = ran.summary["requests"]
    told = ("completed", "cancelled", "timed_out", "failed", "refused")
    ends = sum(requests[end] for end in told)
    if not ends == requests["submitted"] == ran.job.coordinator.submitted:
        found.append(f"{ends} ends of {ran.job.coordinator.submitted} requests")
    return found


def _wrong_where_all_is_well(ran: Ran) -> list[str]:
    """Nobody is ill, in doubt at the end, or out of patience with what only takes its time."""
    code, ill = ran.exit_code, ran.summary["health"]["unhealthy_intervals"]
    found = [f"clean, and ends with {code}"] if code else []
    found += [f"clean, and ill {ill} times"] if ill else []
    doubtful = sum(report.transfers.quarantined_now for report in ran.reports)
    found += [f"clean, and {doubtful} transfers in doubt at the end"] if doubtful else []
    senders = {r for i in ran.job.topology.of_kind(Kind.CONTEXT) for r in i.members}
    for at_ns, rank, _, request, detail in ran.events:
        cause = detail.get("cause")
        if rank in senders and cause in (Event.DEADLINE, Event.WAIT_LIMIT):
            found.append(f"clean, and a sender gave up first: {request} at {at_ns}: {cause}")
        elif cause is Event.SILENCE:
            found.append(f"clean, and a sender was told twice: {request} at {at_ns}")
    return found


def _compare(judged: Judged, what: str, one: Any, other: Any) -> None:
    if isinstance(one, Ran) and isinstance(other, Ran):
        judged.found += [f"{what}: {text}" for text in differences(one, other)]
    elif other is not None and type(one) is not type(other):
        judged.found.append(f"{what}: {_told(other)} instead of {_told(one)}")


def _told(end: Any) -> str:
    return f"exit code {end.exit_code}" if isinstance(end, Ran) else f"{type(end).__name__}: {end}"
