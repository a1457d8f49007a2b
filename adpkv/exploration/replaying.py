"""Plays a case again: whole, up to an event, or event by event; and tells of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adpkv.core.ids import COORDINATOR
from adpkv.errors import AdpkvError, UsageError
from adpkv.exploration.cases import Case
from adpkv.exploration.oracles import Event
from adpkv.exploration.replay_file import Recorded
from adpkv.exploration.trial import Trial, assemble_for, attempt, signature
from adpkv.worlds.virtual.places import describe
from adpkv.worlds.virtual.run import Simulation, simulate

if TYPE_CHECKING:
    from adpkv.output.story import Story

__all__ = [
    "Replay",
    "Until",
    "event_line",
    "play",
    "play_until",
    "stories_of",
    "until_of",
    "write_run",
]


@dataclass(frozen=True, slots=True)
class Replay:
    """A run played again, beside what was recorded of it."""

    trial: Trial
    recorded: Recorded

    @property
    def same(self) -> bool | None:
        """Whether all events are the same, bit for bit; None where nothing was recorded."""
        return self.trial.digest == self.recorded.digest if self.recorded.digest else None

    @property
    def reproduced(self) -> bool:
        """Whether the same oracle spoke first."""
        return signature(self.trial.found) == self.recorded.signature

    def data(self) -> dict[str, Any]:
        """As `adpkv replay --json` prints it."""
        return {
            "signature": signature(self.trial.found),
            "recorded": self.recorded.signature,
            "reproduced": self.reproduced,
            "same": self.same,
            "exit_code": int(self.trial.exit_code),
            "events": len(self.trial.events),
            "digest": self.trial.digest,
            "found": [{"kind": one.kind, "detail": one.detail} for one in self.trial.found],
        }


@dataclass(frozen=True, slots=True)
class Until:
    """Where a replay stops: behind the `number`-th event, or the first of a `kind`."""

    number: int = 0
    kind: str = ""

    def reached(self, events: list[Event], from_number: int) -> int:
        """The number of the event behind which it stops, if that is there; else 0."""
        if self.number:
            return self.number if len(events) >= self.number else 0
        for number in range(from_number, len(events)):
            if self.kind in _names(events[number]):
                return number + 1
        return 0


def _names(event: Event) -> tuple[str, ...]:
    kind, detail = str(event[2]), event[4]
    return (kind, str(detail.get("cause", "")), str(detail.get("violation", "")))


def until_of(text: str) -> Until:
    """From `--until`.

    Raises:
        UsageError: it is empty.
    """
    if text.isdecimal() and int(text):
        return Until(number=int(text))
    if not text or text.isdecimal():
        raise UsageError(f"--until {text}: the number of an event, from 1, or a kind of event")
    return Until(kind=text)


def play(recorded: Recorded) -> Replay:
    """The whole run."""
    return Replay(attempt(recorded.case), recorded)


class _Stop(Exception):  # noqa: N818  it is no error
    """The replay has come to where it was to stop."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A run that was stopped in the middle."""

    events: list[Event]
    places: list[str]
    """Where each rank is."""
    at_ns: int

    def data(self) -> dict[str, Any]:
        """As `adpkv replay --until E --json` prints it."""
        keys = ("at_ns", "rank", "kind", "request", "detail")
        events = [dict(zip(keys, event, strict=True)) for event in self.events]
        return {"at_ns": self.at_ns, "places": self.places, "events": events}


def play_until(case: Case, until: Until) -> Stopped:
    """The run up to an event.

    Raises:
        UsageError: it has no such event.
    """
    found: list[Stopped] = []

    def watch(job: Simulation, events: list[Event]) -> Callable[[], None]:
        looked = 0

        def seen() -> None:
            nonlocal looked
            number = until.reached(events, looked)
            looked = len(events)
            if number:
                found.append(Stopped(events[:number], places_of(job), job.world.queue.now))
                raise _Stop

        return seen

    trial = attempt(case, watch=watch)
    if found:
        return found[0]
    number = until.reached(list(trial.events), 0)
    if not number:
        what = f"event {until.number}" if until.number else f"event {until.kind!r}"
        raise UsageError(f"--until: there is no {what}: the run has {len(trial.events)} events")
    job, events = trial.job, list(trial.events[:number])
    assert job is not None  # it has events, so it ran
    return Stopped(events, places_of(job), job.world.queue.now)


def places_of(job: Simulation) -> list[str]:
    """Where each living rank is now; empty once the run is over."""
    return [
        f"rank {place.rank} {describe(place)}"
        for group in job.world.groups
        for place in group.places()
    ]


def event_line(number: int, event: Event) -> str:
    """One event as a line."""
    at_ns, rank, kind, request, detail = event
    who = "coordinator" if rank == COORDINATOR else f"rank {rank}"
    whom = f"request {request} " if request >= 0 else ""
    more = " ".join(f"{key}={_said(value)}" for key, value in detail.items())
    return f"{number:6}  {at_ns / 1e6:14.6f} ms  {who:<12}{whom}{kind}  {more}".rstrip()


def _said(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def stories_of(case: Case, requests: list[int]) -> list[Story]:
    """The stories of some requests of the run.

    Raises:
        UsageError: it has no such request.
    """
    from adpkv.output.folder import RunFolder
    from adpkv.output.story import read_stories

    with tempfile.TemporaryDirectory(prefix="adpkv-replay-") as parent:
        folder = Path(parent) / "run"
        write_run(case, folder)
        try:
            return read_stories(RunFolder(folder), requests)
        except UsageError as error:
            raise UsageError(f"--story: {str(error).removeprefix(f'{folder}: ')}") from None


def write_run(case: Case, out: Path) -> None:
    """Play the run into a folder as `adpkv simulate` leaves one; it may end in any way."""
    experiment = case.experiment
    try:
        simulate(
            experiment,
            out=out,
            assemble=assemble_for(experiment),
            kind=partial(Simulation, schedule=case.choose()),
        )
    except UsageError:
        raise
    except AdpkvError:
        return  # its folder has what was written until then
