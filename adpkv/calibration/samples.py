"""What a real run shows of its machine: how long steps, collectives, messages and the rest took."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from adpkv import __version__
from adpkv.calibration.iterations import Iteration, Made
from adpkv.calibration.kept import Kept
from adpkv.calibration.ways import Look
from adpkv.config import Experiment, load
from adpkv.config.document import Malformed, read
from adpkv.core.ids import COORDINATOR
from adpkv.core.record import RequestRecord
from adpkv.core.step_cost import Costs
from adpkv.core.topology import Kind
from adpkv.errors import UsageError
from adpkv.executor.collectives import WORLD
from adpkv.executor.messages import HOST
from adpkv.output import RunFolder
from adpkv.output.folder_files import read_json
from adpkv.output.story_files import RunFiles
from adpkv.output.story_words import Event
from adpkv.timeline.format import OPEN
from adpkv.timeline.matching import GroupCollective, collectives
from adpkv.timeline.reader import Joined, RecordReader, Sent, open_records

__all__ = ["Message", "RunSamples", "StepSample", "read_run"]

KIB: Final = 1024

MOVES: Final = ("posted", "sent", "received")
"""What is done with the KV that is moved. All else is done with the whole prompt's."""


@dataclass(slots=True)
class StepSample:
    """One rank's part of a step, in nanoseconds; `batch` as in `timeline.reader.Joined`."""

    ranks: int
    line_ns: float
    own_ns: int
    batch: tuple[int, int, int, int]


class Message(NamedTuple):
    """A message of a rank: how long after the beginning of its iteration it went out or was read,
    that iteration as it was then, and the rank; None where all of its group had to be so far."""

    since_ns: int
    iteration: Iteration
    rank: int | None


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
    steps: list[StepSample] = field(default_factory=list)
    iterations: list[Iteration] = field(default_factory=list)
    """Those with a step."""
    idle: list[Iteration] = field(default_factory=list)
    """Those without one."""
    to_coordinator: list[Message] = field(default_factory=list)
    """Of each leader's answers, until the coordinator read them."""
    from_coordinator: list[Look] = field(default_factory=list)
    """Of each request that it sent to a leader in another process, whose group was in a step."""
    beside_coordinator: list[Message] = field(default_factory=list)
    """The same of rank 0, in whose process the coordinator is."""
    between_ranks: list[Message] = field(default_factory=list)
    """Of each address that a rank sent another, until it went out."""
    addresses: list[Look] = field(default_factory=list)
    """Of each address that was sent to a rank whose group was in a step."""
    posted: list[int] = field(default_factory=list)
    """From the beginning of a rank's iteration until it had posted a transfer."""
    seen: list[int] = field(default_factory=list)
    """From the beginning of a rank's iteration until it had seen the end of a transfer."""
    notices: list[tuple[int, int]] = field(default_factory=list)
    """Of a message to a rank whose group waited: for how long it had waited, and from then until
    the iteration began that read it."""


def read_run(path: Path) -> RunSamples:
    """Read a run that was made with a timeline.

    Raises:
        UsageError: it is no such run, it is a simulation, or it did not end well.
    """
    folder = RunFolder(path)
    readers = open_records(folder)
    experiment = load(folder.config, _carried(folder))
    try:
        summary = read_json(folder.summary)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"{folder.summary}: cannot be read: {why}") from error
    if not isinstance(summary, dict):
        raise UsageError(f"{folder.summary}: is no summary of a run")
    if summary.get("world") != "mpi" or summary.get("exit_code") != 0:
        raise UsageError(
            f"{path}: to calibrate takes real runs that ended with code 0, not one of world"
            f" {summary.get('world')} that ended with {summary.get('exit_code')}"
        )
    if summary.get("adpkv") != __version__:
        by = summary.get("adpkv") or "another version"
        raise UsageError(
            f"{path}: made by adpkv {by}, and this is {__version__}: what it cost may differ"
        )
    _check_whole(path, readers)
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


def _check_whole(path: Path, readers: Sequence[RecordReader]) -> None:
    """The last thing that a rank does with the others is to leave.

    Raises:
        UsageError: records of a rank end before that.
    """
    for reader in readers:
        last = None
        for record in reader:
            if isinstance(record, Joined):
                last = record
        if last is not None and last.group != WORLD:
            raise UsageError(
                f"{path}: the records of rank {last.rank} end before the run did: they were cut"
                " off, or reached observe.timeline_limit"
            )


def _carried(folder: RunFolder) -> list[str]:
    """Where the trace of a run is that was made on another machine: beside its folder."""
    try:
        data: Any = read(folder.config.read_text(encoding="utf-8")).data
        named = Path(data["workload"]["path"])
    except (OSError, ValueError, LookupError, TypeError, Malformed):
        return []  # it has none, or `load` says what is wrong
    beside = folder.path.absolute().parent / named.name
    if named.is_absolute() and not named.exists() and beside.is_file():
        return [f"workload.path={beside}"]
    return []


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
    open_ones: dict[int, Iteration] = {}
    for joint in collectives(readers, sizes, fold=True):
        group = joint.group
        if group == WORLD or not _is_whole(joint, sizes[group]):
            continue
        begin_ns = max(one.begin_ns for one in joint.present)
        if joint.site == "intake":
            before = open_ones.pop(group, None)
            if before is not None and before.lines:
                before.took_ns = begin_ns - before.begin_ns
                run.iterations.append(before)
            open_ones[group] = Iteration(group, sizes[group], begin_ns)
            starts[group].append(begin_ns)
            if group in waited:
                waits[group][begin_ns] = waited.pop(group)
        if joint.kind == "wait":
            waited[group] = begin_ns
            if group in open_ones:
                idle = open_ones.pop(group)
                idle.took_ns = begin_ns - idle.begin_ns
                run.idle.append(idle)
        if joint.kind == "step":
            lines = tuple((_line(costs[group], one.batch), one.batch) for one in joint.present)
            run.steps += [
                StepSample(sizes[group], line, one.ready_ns - one.begin_ns, one.batch)
                for (line, _), one in zip(lines, joint.present, strict=True)
            ]
            if group in open_ones:
                open_ones[group].lines = lines
                open_ones[group].prefill = _prefill(run.experiment, lines)
        elif joint.is_together:
            took_ns = min(one.end_ns for one in joint.present) - joint.last.ready_ns
            run.collectives[sizes[group]].append(max(took_ns, 0))
    return starts, waits


def _is_whole(joint: GroupCollective, size: int) -> bool:
    ended = all(one.end_ns != OPEN and one.ready_ns != OPEN for one in joint.present)
    return ended and len(joint.present) == size


def _prefill(
    experiment: Experiment, lines: Sequence[tuple[float, tuple[int, int, int, int]]]
) -> Made:
    tokens = max(batch[0] for _, batch in lines)
    blocks = tokens / experiment.kv_cache.block_tokens
    return Made(float(tokens > 0), blocks, blocks * experiment.block_bytes / KIB)


def _line(costs: Costs, batch: tuple[int, int, int, int]) -> float:
    return float(costs.step_ns(*batch))


def _read_transfers(run: RunSamples, files: RunFiles, starts: _Times) -> None:
    """Count the posts, the ends of transfers and the answers in each iteration."""
    topology, blocks = run.experiment.topology.build(), _blocks_of(run)
    block_kib, found_at = run.experiment.block_bytes / KIB, _found(run)
    last: dict[int, int] = {}
    kept = Kept(topology)
    for event in files.events(None):
        if isinstance(event, int) or event.rank == COORDINATOR or event.request not in blocks:
            continue
        kept.note(event)
        instance = topology.instance_of(event.rank)
        what = _work(event, instance.kind)
        if what is None:
            continue
        since_ns = _since(starts.get(instance.index, []), event.at_ns)
        if since_ns is not None and what in ("posted", "received"):
            (run.posted if what == "posted" else run.seen).append(event.at_ns - since_ns)
        iteration = found_at(instance.index, event.at_ns)
        # All ranks of a replicated group are assigned it.
        new = what != "assigned" or last.get(event.request) != instance.index
        last[event.request] = instance.index
        if iteration is not None and new:
            number = blocks[event.request]
            if what in MOVES:
                number -= kept.blocks(event.request, event.rank)
            iteration.add(what, event.rank, number, number * block_kib)


def _work(event: Event, kind: Kind) -> str | None:
    """What an event is among `WORK`. Who repeats that it has begun posts nothing, and of KV that a
    receiver had already nothing is sent."""
    if event.detail.get("cause") in ("advertise_again", "cached"):
        return None
    if kind is Kind.CONTEXT:
        return {"assigned": event.kind, "posted": event.kind, "complete": "sent"}.get(event.kind)
    ended = {"assigned": event.kind, "complete": "received", "responded": "answered"}
    return ended.get(event.kind)


def _blocks_of(run: RunSamples) -> dict[int, int]:
    """The KV blocks of each request's prompt."""
    tokens = run.experiment.kv_cache.block_tokens
    return {one.request_id: -(-one.prompt_tokens // tokens) for one in run.records}


def _found(run: RunSamples) -> Callable[[int, int], Iteration | None]:
    """Finds the iteration of a group that lasted at a time; one without a step, also as the group
    waited."""
    by_group: dict[int, list[Iteration]] = defaultdict(list)
    for one in sorted([*run.iterations, *run.idle], key=lambda one: one.begin_ns):
        by_group[one.group].append(one)
    begins = {group: [one.begin_ns for one in them] for group, them in by_group.items()}

    def found_at(group: int, at_ns: int) -> Iteration | None:
        place = bisect_right(begins.get(group, []), at_ns) - 1
        if place < 0:
            return None
        found = by_group[group][place]
        return None if found.lines and at_ns > found.begin_ns + found.took_ns else found

    return found_at


def _read_messages(
    run: RunSamples,
    readers: Sequence[RecordReader],
    starts: _Times,
    waits: dict[int, dict[int, int]],
) -> None:
    topology, found_at, blocks = run.experiment.topology.build(), _found(run), _blocks_of(run)
    block_kib = run.experiment.block_bytes / KIB
    messages = sorted(
        (record for reader in readers for record in reader if isinstance(record, Sent)),
        key=lambda one: (one.at_ns, one.to is None),
    )
    answers: dict[int, deque[tuple[Iteration | None, int]]] = defaultdict(deque)
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
                run.notices.append((sent_ns - wait_ns, start_ns - sent_ns))
            elif one.name == "Advertise":
                run.addresses += _look(starts[group], sent_ns, one.at_ns)
            elif one.name == "Admit" and one.owner != HOST:
                run.from_coordinator += _look(starts[group], sent_ns, one.at_ns)
        if one.owner != COORDINATOR and one.to is not None:
            iteration = found_at(topology.instance_of(one.owner).index, one.at_ns)
            if one.name == "Advertise" and iteration is not None:
                number = blocks.get(one.request, 0)
                iteration.add("advertised", one.owner, number, number * block_kib)
                since_ns = one.at_ns - iteration.begin_ns
                run.between_ranks.append(Message(since_ns, iteration.copied(), one.owner))
            elif one.name == "Answers":
                answers[one.request].append((iteration, one.owner))
        elif one.name == "Answers" and one.owner == COORDINATOR and answers[one.request]:
            iteration, owner = answers[one.request].popleft()
            if iteration is not None:
                took = run.beside_coordinator if owner == HOST else run.to_coordinator
                took.append(Message(one.at_ns - iteration.begin_ns, iteration, None))


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
