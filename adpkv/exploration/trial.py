"""Makes the run of a case, and says what was wrong with it.

Whatever a run ends with is a result: a violation, ranks that are stuck, an error of ours.
"""

from __future__ import annotations

import hashlib
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from os import sep
from pathlib import Path
from typing import Any, Final

import msgspec

import adpkv
from adpkv.config import Experiment
from adpkv.core.record import RequestRecord
from adpkv.core.rules import Rules
from adpkv.errors import (
    CollectiveMismatchError,
    DeadlockError,
    EndOfTimeError,
    HostLostError,
    IllegalTransitionError,
    LivelockError,
    RankLostError,
    RankProgramError,
    StuckError,
    UsageError,
)
from adpkv.executor.loop import RankProgram
from adpkv.exit_codes import ExitCode
from adpkv.exploration.cases import Case
from adpkv.exploration.oracles import Ended, Event, Wrong, ending_of_job, problems
from adpkv.exploration.owners import owner_of_stuck, owners_of_open
from adpkv.field_policies import assembly
from adpkv.worlds.virtual.in_memory import Kept
from adpkv.worlds.virtual.run import Simulation
from adpkv.worlds.virtual.schedule import Schedule

__all__ = ["MOST_EVENTS", "TooManyEventsError", "Trial", "attempt", "check_ports", "signature"]

OURS: Final = (f"{Path(adpkv.__file__).parent}{sep}", f"adpkv{sep}")
"""How the names of adpkv's files begin; the second way where they are compiled. A folder above may
be called adpkv too, as a clone is, with all that is installed within it."""

MOST_EVENTS: Final = 100_000
"""Of the queue of one run; the largest of a small experiment has some thousands. One that has more
never ends."""

_NUMBERS: Final = re.compile(r"0x[0-9a-f]+|\d[\d.]*")

Watch = Callable[[Simulation, list[Event]], Callable[[], None]]
"""Makes what is called between the events of the queue, for a job that is about to run, and from
the list to which it will add what it has to tell."""


class TooManyEventsError(Exception):
    """A run that does not end."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One run, and what was wrong with it: the first is what it is known by."""

    case: Case
    found: tuple[Wrong, ...]
    exit_code: int
    events: Sequence[Event]
    records: Sequence[RequestRecord]
    job: Simulation | None
    """None where it could not be put together."""
    stuck: bool = False
    """The ranks could not go on together, or the run did not end."""

    @property
    def digest(self) -> str:
        """Of all events of the run: two runs with the same one are the same, bit for bit."""
        return hashlib.blake2b(msgspec.json.encode(self.events), digest_size=12).hexdigest()


def signature(found: Sequence[Wrong]) -> str:
    """What a find is known by: the kind of the first thing that was wrong."""
    return found[0].kind if found else ""


@cache
def _assembly(policy: tuple[tuple[str, str], ...], data: Any) -> Callable[..., RankProgram]:
    return assembly(data.experiment)


class _Same:
    """An experiment as an argument that does not count: all with one policy are alike."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same)


def assemble_for(experiment: Experiment) -> Callable[..., RankProgram]:
    """What makes the ranks' programs under the experiment's policies; made once for each."""
    policy = tuple(experiment.policy.historical().items())
    return _assembly(policy, _Same(experiment))


def attempt(
    case: Case,
    *,
    schedule: Schedule | None = None,
    rules: Rules | None = None,
    watch: Watch | None = None,
) -> Trial:
    """Make the run.

    Args:
        schedule: in place of the case's own: one that records, or that chooses otherwise.
        rules: where there is no policy: rules whose tables are observed.
        watch: makes what is called between events.

    Raises:
        UsageError: a port that the experiment names cannot be made.
    """
    experiment, kept, records = case.experiment, Kept(), list[RequestRecord]()
    try:
        job = _put_together(case, kept, records, schedule, rules)
    except UsageError:
        raise
    except Exception as error:  # a bug in what it is made of
        bug, code = _unexpected(error, "as its job was put together: ")
        return Trial(case, (bug,), code, kept.events, records, None)
    inner = None if watch is None else watch(job, kept.events)
    try:
        # Where nobody looks at each event, the world counts them.
        reports = job.run(_too_many, MOST_EVENTS) if inner is None else job.run(_bounded(inner))
        ended = Ended(job, kept.events, records, reports, ending_of_job(job, records, reports))
        found = problems(ended, case.healed_ns)
        return Trial(case, tuple(found), ended.ending.exit_code, kept.events, records, job)
    except Exception as error:  # whatever it is, it is a result
        wrong, code = _of_error(error, experiment, job)
        told = [
            Wrong(detail["violation"], str(detail["detail"]))
            for _, _, kind, _, detail in kept.events
            if kind == "violation"
        ]
        found = [*told, *wrong] if wrong else told
        stuck = bool(wrong) and not told and code == ExitCode.DEADLOCK
        return Trial(case, tuple(found), code, kept.events, records, job, stuck)


def check_ports(case: Case) -> None:
    """Can the ports that the experiment names be made?

    Raises:
        UsageError: one cannot.
    """
    try:
        _put_together(case, Kept(), [], None, None)
    except UsageError:
        raise
    except Exception:
        return  # each seed will say so


def _put_together(
    case: Case,
    kept: Kept,
    records: list[RequestRecord],
    schedule: Schedule | None,
    rules: Rules | None,
) -> Simulation:
    experiment = case.experiment
    assemble = assemble_for(experiment)
    if rules is not None and not experiment.policy.historical():
        assemble = partial(assemble, rules=rules)
    return Simulation(
        experiment,
        events=kept,
        on_record=records.append,
        assemble=assemble,
        schedule=case.choose() if schedule is None else schedule,
    )


def _too_many() -> None:
    raise TooManyEventsError


def _bounded(inner: Callable[[], None]) -> Callable[[], None]:
    left = MOST_EVENTS

    def seen() -> None:
        nonlocal left
        left -= 1
        if not left:
            raise TooManyEventsError
        inner()

    return seen


def _of_error(error: Exception, experiment: Experiment, job: Simulation) -> tuple[list[Wrong], int]:
    """What is wrong with a run that ended with this error; nothing if that is how it has to end."""
    detail = str(error)
    if isinstance(error, HostLostError | RankLostError):
        killed = any(fault.kind == "sigkill" for fault in experiment.faults)
        return ([] if killed else [Wrong("rank_lost", detail)]), ExitCode.RANK_LOST
    if isinstance(error, StuckError):
        first, _, places = detail.partition("\n")
        owner = owner_of_stuck(error, job)
        said = f"{first}\n{owner}\n{places}" if owner else detail
        return [Wrong(_stuck(error), said)], ExitCode.DEADLOCK
    if isinstance(error, TooManyEventsError | EndOfTimeError):
        said = f"the run does not end\n{owners_of_open(job)}"
        return [Wrong("no_end", said)], ExitCode.DEADLOCK
    if isinstance(error, IllegalTransitionError):
        role = error.subject.partition(" ")[0]
        return [
            Wrong(f"illegal:{role}:{error.state}:{error.event}", detail)
        ], ExitCode.INTERNAL_ERROR
    if isinstance(error, RankProgramError):
        return [
            Wrong(f"rank_failed:{_NUMBERS.sub('', detail.rpartition(': ')[2])}", detail)
        ], ExitCode.INTERNAL_ERROR
    wrong, internal = _unexpected(error)
    return [wrong], internal


def _unexpected(error: Exception, when: str = "") -> tuple[Wrong, int]:
    """An error that no run has to end with: what it is, and where in adpkv it was raised."""
    kind, detail = type(error).__name__, str(error)
    said = _NUMBERS.sub("", detail.partition("(")[0])[:60]
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{one.filename}:{one.lineno}" for one in frames if one.filename.startswith(OURS)]
    where = f" (adpkv{sep}{_within(places[-1])})" if places else ""
    wrong = Wrong(f"error:{kind}:{said}", f"{when}{kind}: {detail}{where}")
    return wrong, ExitCode.INTERNAL_ERROR


def _within(place: str) -> str:
    """A place without the folder of the package."""
    for folder in OURS:
        place = place.removeprefix(folder)
    return place


def _stuck(error: StuckError) -> str:
    kinds = {
        CollectiveMismatchError: "mismatch",
        DeadlockError: "deadlock",
        LivelockError: "livelock",
    }
    places = {(p.kind, p.site.partition("[")[0]) for p in error.places if p.rank >= 0}
    named = "|".join(f"{kind}@{site}" for kind, site in sorted(places))
    return f"{kinds.get(type(error), 'stuck')}:{named}"
