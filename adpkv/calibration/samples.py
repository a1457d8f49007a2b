"""What a real run shows of its machine: how long steps, collectives, messages and the rest took."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from adpkv.calibration.ways import Look
from adpkv.config import Experiment, load
from adpkv.core.ids import COORDINATOR
from adpkv.core.record import RequestRecord
from adpkv.core.step_cost import Costs
from adpkv.core.topology import Kind
from adpkv.errors import UsageError
from adpkv.executor.collectives import WORLD
from adpkv.executor.messages import HOST
from adpkv.output import RunFolder
from adpkv.output.folder import read_json
from adpkv.output.story_files import RunFiles
from adpkv.timeline.format import OPEN
from adpkv.timeline.matching import GroupCollective, collectives
from adpkv.timeline.reader import RecordReader, Sent, open_records

__all__ = ["COUNTED", "IterationSample", "RunSamples", "StepSample", "read_run"]

KIB: Final = 1024

COUNTED: Final = (
    "sequences", "posts", "posted KiB", "ends", "ended KiB", "advertised", "advertised KiB",
    "answered",
)  # fmt: skip
"""What makes an iteration longer, each for itself: the requests that a rank decodes, its posts and
ends of transfers, the requests that it asks for KV of and answers."""


@dataclass(slots=True)
class StepSample:
    """One rank's part of a step, in nanoseconds; `batch` as in `timeline.reader.Joined`."""

    ranks: int
    line_ns: float
    own_ns: int
    batch: tuple[int, int, int, int]


@dataclass(slots=True)
class IterationSample:
    """An iteration of a group with a step, from its intake to the next one's."""

    group: int
    ranks: int
    begin_ns: int
    took_ns: int
    lines: tuple[tuple[float, tuple[int, int, int, int]], ...]
    """Of each rank: what its step costs by the model, and its batch."""
    counts: dict[int, list[float]] = field(default_factory=dict)
    """By rank, of those that did something: how much of each of `COUNTED`."""

    def count(self, rank: int, what: str, number: float = 1) -> None:
        """A rank did this in the iteration."""
        own = self.counts.setdefault(rank, [0.0] * len(COUNTED))
        own[COUNTED.index(what)] += number


@dataclass(slots=True)
class RunSamples:
    """One run; its experiment is without a calibration."""

    path: Path
    experiment: Experiment
    summary: dict[str, object]
    records: list[RequestRecord]
    start_ns: int = 0
    """When the first group's first iteration began."""
    collectives: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """By size of the group: how long each small collective took, once all were there."""
    idle: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """By size of the group: from the beginning of each iteration without a step until it waited."""
    steps: list[StepSample] = field(default_factory=list)
    iterations: list[IterationSample] = field(default_factory=list)
    to_coordinator: list[int] = field(default_factory=list)
    """From the beginning of a leader's iteration until the coordinator read its answers."""
    from_coordinator: list[Look] = field(default_factory=list)
    """Of each request that it sent to a leader in another process, whose group was in a step."""
    beside_coordinator: list[int] = field(default_factory=list)
    """The same of rank 0, in whose process the coordinator is."""
    between_ranks: list[int] = field(default_factory=list)
    """From the beginning of a rank's iteration until it sent another rank its address."""
    addresses: list[Look] = field(default_factory=list)
    """Of each address that was sent to a rank whose group was in a step."""
    posted: list[int] = field(default_factory=list)
    """From the beginning of a rank's iteration until it had posted a transfer."""
    seen: list[int] = field(default_factory=list)
    """From the beginning of a rank's iteration until it had seen the end of a transfer."""
    notices: list[int] = field(default_factory=list)
    """From when a message was sent to a rank whose group waited until the iteration that read it
    began."""


def read_run(path: Path) -> RunSamples:
    """Read a run that was made with a timeline.

    Raises:
        UsageError: it is no such run, it is a simulation, or it did not end well.
    """
    folder = RunFolder(path)
    readers = open_records(folder)
    experiment = load(folder.config)
    try:
        summary = read_json(folder.summary)
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder.summary}: cannot be read: {error}") from error
    if summary.get("world") != "mpi" or summary.get("exit_code") != 0:
        raise UsageError(
            f"{path}: to calibrate takes real runs that ended with code 0, not one of world"
            f" {summary.get('world')} that ended with {summary.get('exit_code')}"
        )
    experiment = experiment.model_copy(update={"calibration": None})
    files = RunFiles(folder, experiment.topology.build())
    run = RunSamples(path, experiment, summary, list(files.all_records()))
    starts, waits = _read_collectives(run, readers)
    run.start_ns = min((times[0] for times in starts.values()), default=0)
    _read_transfers(run, files, starts)
    _read_messages(run, readers, starts, waits)
    if not run.iterations:
        raise UsageError(f"{path}: its timeline has no iterations with a step")
    return run


_Times = dict[int, list[int]]
"""By group, in order."""


def _read_collectives(
    run: RunSamples, readers: Sequence[RecordReader]
) -> tuple[_Times, dict[int, dict[int, int]]]:
    """Fill in steps, iterations and collectives; returns when each iteration of a group began, and
    of those that followed a wait, when that wait began."""
    topology = run.experiment.topology.build()
    sizes = {one.index: one.ranks for one in topology.instances} | {WORLD: topology.ranks}
    costs = {one.index: run.experiment.costs_of(one.index) for one in topology.instances}
    starts: _Times = defaultdict(list)
    waits: dict[int, dict[int, int]] = defaultdict(dict)
    waited: dict[int, int] = {}
    open_ones: dict[int, IterationSample | None] = {}
    for joint in collectives(readers, sizes, fold=True):
        group = joint.group
        if group == WORLD or not _is_whole(joint, sizes[group]):
            continue
        begin_ns = max(one.begin_ns for one in joint.present)
        if joint.site == "intake":
            before = open_ones.pop(group, None)
            if before is not None:
                before.took_ns = begin_ns - before.begin_ns
                run.iterations.append(before)
            starts[group].append(begin_ns)
            if group in waited:
                waits[group][begin_ns] = waited.pop(group)
        if joint.kind == "wait":
            waited[group] = begin_ns
            if starts[group]:
                run.idle[sizes[group]].append(begin_ns - starts[group][-1])
        if joint.kind == "step":
            lines = tuple((_line(costs[group], one.batch), one.batch) for one in joint.present)
            run.steps += [
                StepSample(sizes[group], line, one.ready_ns - one.begin_ns, one.batch)
                for (line, _), one in zip(lines, joint.present, strict=True)
            ]
            if starts[group]:
                found = IterationSample(group, sizes[group], starts[group][-1], 0, lines)
                for one in joint.present:
                    if one.batch[2]:
                        found.count(one.rank, "sequences", one.batch[2])
                open_ones[group] = found
        elif joint.is_together:
            took_ns = min(one.end_ns for one in joint.present) - joint.last.ready_ns
            run.collectives[sizes[group]].append(max(took_ns, 0))
    return starts, waits


def _is_whole(joint: GroupCollective, size: int) -> bool:
    ended = all(one.end_ns != OPEN and one.ready_ns != OPEN for one in joint.present)
    return ended and len(joint.present) == size


def _line(costs: Costs, batch: tuple[int, int, int, int]) -> float:
    return float(costs.step_ns(*batch))


def _read_transfers(run: RunSamples, files: RunFiles, starts: _Times) -> None:
    """Count the posts, the ends of transfers and the answers in each iteration."""
    topology = run.experiment.topology.build()
    kib = _kib_of(run)
    sample_at = _sampled(run)
    for event in files.events(None):
        if isinstance(event, int) or event.rank == COORDINATOR or event.request not in kib:
            continue
        instance = topology.instance_of(event.rank)
        wanted = "posted" if instance.kind is Kind.CONTEXT else "complete"
        if event.kind not in (wanted, "responded"):
            continue
        sample = sample_at(instance.index, event.at_ns)
        if event.kind == "responded":
            if sample is not None:
                sample.count(event.rank, "answered")
            continue
        since_ns = _since(starts.get(instance.index, []), event.at_ns)
        if since_ns is not None:
            (run.posted if wanted == "posted" else run.seen).append(event.at_ns - since_ns)
        if sample is None:
            continue
        number, size = ("posts", "posted KiB") if wanted == "posted" else ("ends", "ended KiB")
        sample.count(event.rank, number)
        sample.count(event.rank, size, kib[event.request])


def _kib_of(run: RunSamples) -> dict[int, float]:
    """The KV of each request, in whole blocks."""
    cache, block_kib = run.experiment.kv_cache, run.experiment.block_bytes / KIB
    return {
        one.request_id: -(-one.prompt_tokens // cache.block_tokens) * block_kib
        for one in run.records
    }


def _sampled(run: RunSamples) -> Callable[[int, int], IterationSample | None]:
    """Finds the iteration of a group that lasted at a time."""
    by_group: dict[int, list[IterationSample]] = defaultdict(list)
    for one in run.iterations:
        by_group[one.group].append(one)
    begins = {group: [one.begin_ns for one in them] for group, them in by_group.items()}

    def sample_at(group: int, at_ns: int) -> IterationSample | None:
        place = bisect_right(begins.get(group, []), at_ns) - 1
        if place < 0:
            return None
        found = by_group[group][place]
        return found if at_ns <= found.begin_ns + found.took_ns else None

    return sample_at


def _read_messages(
    run: RunSamples,
    readers: Sequence[RecordReader],
    starts: _Times,
    waits: dict[int, dict[int, int]],
) -> None:
    topology, sample_at, kib = run.experiment.topology.build(), _sampled(run), _kib_of(run)
    messages = sorted(
        (record for reader in readers for record in reader if isinstance(record, Sent)),
        key=lambda one: (one.at_ns, one.to is None),
    )
    answers: dict[tuple[str, int], deque[tuple[int, int]]] = defaultdict(deque)
    sent: dict[tuple[str, int, int | None], deque[int]] = defaultdict(deque)
    for one in messages:
        if one.to is not None:
            sent[one.name, one.request, one.to].append(one.at_ns)
        elif one.owner != COORDINATOR and sent[one.name, one.request, one.owner]:
            group = topology.instance_of(one.owner).index
            sent_ns = sent[one.name, one.request, one.owner].popleft()
            start_ns = _since(starts[group], one.at_ns)
            # Sent while the group waited, and read in the iteration after that wait.
            wait_ns = waits[group].get(start_ns or -1)
            if start_ns is not None and wait_ns is not None and wait_ns < sent_ns < start_ns:
                run.notices.append(start_ns - sent_ns)
            elif one.name == "Advertise":
                run.addresses += _look(starts[group], sent_ns, one.at_ns)
            elif one.name == "Admit" and one.owner != HOST:
                run.from_coordinator += _look(starts[group], sent_ns, one.at_ns)
        if one.owner != COORDINATOR and one.to is not None:
            instance = topology.instance_of(one.owner)
            since_ns = _since(starts.get(instance.index, []), one.at_ns)
            if since_ns is None:
                continue
            if one.name == "Advertise":
                sample = sample_at(instance.index, one.at_ns)
                if sample is not None:
                    sample.count(one.owner, "advertised")
                    sample.count(one.owner, "advertised KiB", kib.get(one.request, 0.0))
                run.between_ranks.append(one.at_ns - since_ns)
            elif one.name == "Answers":
                answers[one.name, one.request].append((since_ns, one.owner))
        elif one.owner == COORDINATOR and one.to is None:
            begun = answers.get((one.name, one.request))
            if begun:
                since_ns, owner = begun.popleft()
                took = run.beside_coordinator if owner == HOST else run.to_coordinator
                took.append(one.at_ns - since_ns)


def _since(starts: Sequence[int], at_ns: int) -> int | None:
    place = bisect_right(starts, at_ns) - 1
    return None if place < 0 else starts[place]


def _look(starts: Sequence[int], sent_ns: int, read_ns: int) -> list[Look]:
    """Whether the first iteration that began after a message was sent read it, if it tells."""
    place = bisect_right(starts, sent_ns)
    if place + 1 >= len(starts):
        return []
    # A leader reads before all are there, other ranks do later: nearer to this iteration's
    # beginning than to the next one's.
    found = read_ns < (starts[place] + starts[place + 1]) // 2
    return [(starts[place] - sent_ns, found)]
