"""What is recorded of a real rank, and of the virtual world, into a `RecordFile` each."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from adpkv.config import Experiment
from adpkv.executor.collectives import Operation, Step
from adpkv.executor.messages import Message
from adpkv.executor.ports import Mailbox
from adpkv.model.port import Batch
from adpkv.output import RunFolder
from adpkv.output.losses import Losses
from adpkv.timeline.format import (
    JOINED,
    JOINED_ENDS,
    JOINED_ENDS_AT,
    MESSAGE,
    OPEN,
    PAUSED,
    PAUSED_END,
    PAUSED_END_AT,
    STRETCH,
    STRETCH_ENDS,
    STRETCH_ENDS_AT,
    What,
)
from adpkv.timeline.writer import NOWHERE, RecordFile

__all__ = [
    "CollectiveRecorder",
    "RankTimeline",
    "RecordedMailbox",
    "WorldTimeline",
    "open_timeline",
]

NOTHING = Batch()

READ = -2
"""In place of a receiver in the record of a message that was read."""


class CollectiveRecorder(Protocol):
    """Records in which collective a rank is; the flight recorder is one."""

    def enter(self, op: Operation, sequence: int, now_ns: int) -> None:
        """This rank comes to a collective, which is number `sequence` of its group."""
        ...

    def leave(self, now_ns: int, nbytes: int = 0) -> None:
        """The collective is over for this rank; `nbytes` is the size of its own payload."""
        ...

    def computed(self, now_ns: int) -> None:
        """This rank's own part of a step is over."""
        ...


class RankTimeline:
    """Records a real rank's collectives beside its flight recorder, which it wraps. It must be
    started before the first one."""

    def __init__(self, file: RecordFile, rank: int, inner: CollectiveRecorder) -> None:
        self._file, self._rank, self._inner, self._began_ns = file, rank, inner, 0
        self._names: dict[tuple[str, str], int] = {}
        self._at, self._begin_ns, self._ready_ns = NOWHERE, 0, 0

    def start(self, began_ns: int) -> None:
        """The run's clock began when the clock of both, this and the flight recorder, said this."""
        self._began_ns = began_ns

    def enter(self, op: Operation, sequence: int, now_ns: int) -> None:
        """This rank comes to a collective."""
        self._inner.enter(op, sequence, now_ns)
        key = (op.kind, op.site)
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = self._file.number(f"{op.kind} {op.site}")
        work = op.work if type(op) is Step else NOTHING
        self._begin_ns = begin_ns = now_ns - self._began_ns
        self._ready_ns = 0 if type(op) is Step else begin_ns
        self._at = self._file.append(
            JOINED.pack(
                What.JOINED, op.group, self._rank, sequence, op.iteration, name, 0,
                begin_ns, self._ready_ns or OPEN, OPEN,
                work.prefill_tokens, work.prefill_pairs, work.sequences, work.context_tokens,
            )
        )  # fmt: skip

    def computed(self, now_ns: int) -> None:
        """This rank's own part of a step is over: from now on it waits for the others."""
        self._inner.computed(now_ns)
        self._ready_ns = now_ns - self._began_ns
        self._file.patch(self._at, JOINED_ENDS_AT, JOINED_ENDS.pack(self._ready_ns, OPEN))

    def leave(self, now_ns: int, nbytes: int = 0) -> None:
        """The collective is over for this rank."""
        self._inner.leave(now_ns, nbytes)
        end_ns = now_ns - self._began_ns
        ready_ns = self._ready_ns or end_ns
        self._file.patch(self._at, JOINED_ENDS_AT, JOINED_ENDS.pack(ready_ns, end_ns))


class RecordedMailbox:
    """Passes every message on, and records when it was sent or read."""

    def __init__(
        self, inner: Mailbox, owner: int, file: RecordFile, clock: Callable[[], int]
    ) -> None:
        self._inner, self._owner, self._file, self._clock = inner, owner, file, clock
        self.ready = inner.ready

    def send(self, to: int, message: Message) -> None:
        """Passed on, and recorded."""
        self._note(1, to, message)
        self._inner.send(to, message)

    def receive(self) -> list[Message]:
        """Passed on; each message is recorded."""
        messages = self._inner.receive()
        for message in messages:
            self._note(0, READ, message)
        return messages

    def _note(self, sent: int, to: int, message: Message) -> None:
        name = self._file.number(type(message).__name__)
        request = getattr(message, "request_id", -1)
        responses = getattr(message, "responses", ())
        if responses:
            request = responses[0].request_id
        spec = getattr(message, "spec", None)
        request = getattr(spec, "request_id", request)
        self._file.append(
            MESSAGE.pack(What.MESSAGE, sent, self._owner, to, name, request, self._clock())
        )


class WorldTimeline:
    """Records the stretches and pauses of the groups of the virtual world."""

    def __init__(self, file: RecordFile) -> None:
        self._file = file
        self._names: dict[tuple[tuple[str, str], ...], int] = {}
        self._at: dict[int, int] = {}
        """By group: where its current stretch is."""
        self._pauses: dict[int, list[int]] = {}

    def began(
        self,
        group: int,
        iteration: int,
        members: Sequence[int],
        collectives: tuple[tuple[str, str], ...],
        operations: Sequence[Any],
        lines: Sequence[tuple[int, int]],
        began_ns: int,
        paid: int,
        each_ns: int,
        besides_ns: int,
        ticks: int,
    ) -> None:
        """A stretch begins.

        Args:
            group, iteration, members: the group's number, where it is, and the world ranks of its
                living members.
            collectives: kind and site of those of an iteration; the last is the step or the wait.
            operations, lines: what each member awaits; what its next steps cost, none for a wait.
            began_ns: now.
            paid, each_ns: how many collectives of an iteration cost time, and how much each.
            besides_ns: what an iteration costs besides.
            ticks: how many ticks of the lines are a nanosecond.
        """
        name = self._names.get(collectives)
        if name is None:
            text = ",".join(f"{kind} {site}" for kind, site in collectives)
            name = self._names[collectives] = self._file.number(text)
        head = STRETCH.pack(
            What.STRETCH, group, iteration, name, paid, each_ns, besides_ns, ticks,
            began_ns, len(members), OPEN, 0,
        )  # fmt: skip
        flat: list[int] = []
        if lines:
            for rank, (base, slope), at in zip(members, lines, operations, strict=True):
                work = at.work
                flat += (rank, base, slope, work.prefill_tokens, work.sequences)
        else:
            for rank in members:
                flat += (rank, 0, 0, 0, 0)
        self._at[group] = self._file.append(head + array("q", flat).tobytes())

    def ended(self, group: int, end_ns: int, steps: int) -> None:
        """The group's stretch is over."""
        self._file.patch(self._at[group], STRETCH_ENDS_AT, STRETCH_ENDS.pack(end_ns, steps))

    def paused(
        self, group: int, members: Sequence[int], operations: Sequence[Any], now_ns: int
    ) -> None:
        """The group pauses: what each member awaits meanwhile."""
        places = []
        for rank, at in zip(members, operations, strict=True):
            name = self._file.number(f"{at.kind} {at.site}")
            said = PAUSED.pack(What.PAUSED, group, rank, name, now_ns, OPEN)
            places.append(self._file.append(said))
        self._pauses[group] = places

    def resumed(self, group: int, now_ns: int) -> None:
        """The group's pause is over."""
        for at in self._pauses.pop(group, ()):
            self._file.patch(at, PAUSED_END_AT, PAUSED_END.pack(now_ns))

    def close(self) -> None:
        """No more records."""
        self._file.close()


def open_timeline(
    folder: RunFolder, experiment: Experiment, losses: Losses
) -> WorldTimeline | None:
    """The virtual world's timeline in a run's folder; None where the experiment wants none."""
    if not experiment.observe.timeline:
        return None
    path = folder.timeline / "world.records"
    return WorldTimeline(RecordFile(path, experiment.observe.timeline_limit_bytes, losses))
