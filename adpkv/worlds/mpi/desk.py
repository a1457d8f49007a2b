"""The coordinator with all that it needs, beside rank 0 of a real job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter_ns

from adpkv.config import Experiment
from adpkv.core.ids import COORDINATOR
from adpkv.core.record import RequestRecord
from adpkv.core.topology import Topology
from adpkv.diagnosis.readiness import Word
from adpkv.executor.coordinator import Coordinator
from adpkv.executor.messages import Pulse
from adpkv.executor.ports import Clock
from adpkv.observe import EventSink, RankRecorder
from adpkv.workload import Workload
from adpkv.worlds.assemble import build_coordinator
from adpkv.worlds.mpi.coordinator import CoordinatorThread
from adpkv.worlds.mpi.mailbox import CoordinatorMailbox

__all__ = ["Desk"]


class Desk:
    """The coordinator, its thread and what it writes down; on its host only."""

    def __init__(
        self,
        experiment: Experiment,
        topology: Topology,
        clock: Clock,
        events: EventSink,
        mailbox: CoordinatorMailbox,
        workload: Workload,
        on_record: Callable[[RequestRecord], None],
        on_pulse: Callable[[Coordinator, Mapping[int, Pulse]], None] | None,
    ) -> None:
        self._events = events
        self.recorder = RankRecorder(events, COORDINATOR, clock)
        self.words: dict[int, Word] = {}
        """What each instance's leader said last, and when, by `perf_counter_ns`."""
        self._pulses: dict[int, Pulse] = {}
        self._on_pulse = on_pulse
        self.coordinator = build_coordinator(
            experiment,
            topology,
            workload,
            clock=clock,
            mailbox=mailbox,
            recorder=self.recorder,
            on_record=on_record,
            on_pulse=self._note_pulse,
        )
        self._thread = CoordinatorThread(self.coordinator.run(), mailbox, clock)

    def start(self) -> None:
        """Begin to admit the workload."""
        self._thread.start()

    def close(self, bound_s: float) -> None:
        """Wait for its end, bounded; its files are complete."""
        self._thread.join(bound_s)
        self._events.close()

    def told(self) -> str:
        """What it does, for people."""
        return f"has {self.coordinator.done} of {self.coordinator.total} requests answered"

    def unanswered(self) -> int:
        """Requests without an answer."""
        return self.coordinator.total - self.coordinator.done

    def never_arrived(self) -> int:
        """Requests that were still to come."""
        return self.coordinator.total - self.coordinator.submitted

    def _note_pulse(self, instance: int, pulse: Pulse) -> None:
        self._pulses[instance] = pulse
        self.words[instance] = Word(perf_counter_ns(), pulse)
        if self._on_pulse is not None:
            self._on_pulse(self.coordinator, self._pulses)
