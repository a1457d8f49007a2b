"""Running one experiment in the virtual world, and everything that must hold of any run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from adpkv.config import parse
from adpkv.core.event_lines import EventLine, detail_of
from adpkv.executor.phases import Phases
from adpkv.exploration import oracles
from adpkv.exploration.oracles import Ended, Event, ending_of_job
from adpkv.workload.port import Workload
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.virtual.run import Simulation

__all__ = ["Event", "Ran", "Timeline", "differences", "examine", "problems", "run"]

MOST_EVENTS = 2_000_000
"""Of a small experiment's event queue: one that has more will never end."""

UNEQUAL_BY_DESIGN = ("wall_s", "iterations", "collectives")
"""What jumping changes in a summary."""


class Timeline:
    """An `EventSink` that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(
        self, at_ns: int, rank: int, kind: str, request_id: int, detail: dict[str, object]
    ) -> None:
        self.events.append((at_ns, rank, kind, request_id, detail))

    def add(self, line: EventLine) -> None:
        self.write(line.at_ns, line.rank, line.kind, line.request, detail_of(line))

    def flush(self) -> None: ...

    def close(self) -> None: ...


class EagerPhases(Phases):
    """Looks at everything in each iteration, whether something is due or not: what it finds that
    the real one does not, somebody waited for in vain."""

    def observe(self) -> None:
        self._wake_ns = 0
        super().observe()

    def _rests_until_ns(self) -> int:
        return 0


EAGER = partial(build_rank, phases=EagerPhases)


@dataclass(frozen=True)
class Ran(Ended):
    """One run, over."""

    summary: dict[str, Any]

    @property
    def bytes(self) -> bytes:
        """What `events.jsonl` would hold."""
        return msgspec.json.encode(self.events)

    @property
    def exit_code(self) -> int:
        return self.ending.exit_code


def run(
    data: dict[str, Any],
    *,
    jump: bool = True,
    workload: Workload | None = None,
    prepare: Callable[[Simulation], None] | None = None,
    assemble: Callable[..., Any] = build_rank,
    most_events: int = MOST_EVENTS,
) -> Ran:
    """Run an experiment to its end; `prepare` may change the job before it begins."""
    timeline = Timeline()
    job = Simulation(
        parse(data, data["name"]),
        jump=jump,
        events=timeline,
        workload=workload,
        assemble=assemble,
    )
    if prepare is not None:
        prepare(job)
    left = most_events

    def watch() -> None:
        nonlocal left
        left -= 1
        assert left, f"{data['name']} does not end: at {job.world.queue.now / 1e9} s"

    reports = job.run(watch)
    summary: dict[str, Any] = job.summary(reports, job.tally, 0.0)
    ending = ending_of_job(job, job.records, reports)
    assert (ending.exit_code, ending.lost) == (summary["exit_code"], summary["lost"])
    return Ran(job, timeline.events, job.records, reports, ending, summary)


def differences(one: Ran, other: Ran) -> list[str]:
    """What two runs of the same experiment must have in common, and have not."""
    found = []
    if one.bytes != other.bytes:
        pairs = zip(one.events, other.events, strict=False)
        first = next((f"{a} against {b}" for a, b in pairs if a != b), "one is longer")
        found.append(f"events differ ({len(one.events)}, {len(other.events)}): {first}")
    if one.records != other.records:
        first = next(
            (
                f"{a} against {b}"
                for a, b in zip(one.records, other.records, strict=False)
                if a != b
            ),
            "one has more",
        )
        found.append(f"records differ: {first}")
    for key, value in one.summary.items():
        if key not in UNEQUAL_BY_DESIGN and value != other.summary[key]:
            found.append(f"summary.{key} differs: {value} against {other.summary[key]}")
    return found


def problems(ran: Ran) -> list[str]:
    """What the oracles have to say; empty for a run that kept the contract."""
    return [str(one) for one in oracles.problems(ran)]


def examine(data: dict[str, Any], *, eager: bool = True) -> list[str]:
    """Run an experiment with and without jumping, and looking always; what is wrong with a run or
    between two."""
    try:
        jumped = run(data)
        stepped = run(data, jump=False)
        looked = run(data, jump=False, assemble=EAGER) if eager else stepped
    except Exception as error:  # the seed must be told, whatever it was
        return [f"{type(error).__name__}: {error}"]
    found = differences(jumped, stepped) + problems(jumped)
    return found or [f"looking always: {text}" for text in differences(jumped, looked)]
