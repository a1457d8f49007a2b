"""The coordinator's thread beside world rank 0, with everything that it needs.

It is a thread because a hand-over between instances must not wait for rank 0's forward step. It
only awaits messages, so its loop only knows `Receive`. It polls with backoff: a blocking receive
would spin on a core under Open MPI.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Mapping
from time import perf_counter_ns
from typing import Any

from adpkv.config import Experiment
from adpkv.core.ids import COORDINATOR
from adpkv.core.record import RequestRecord
from adpkv.core.topology import Topology
from adpkv.diagnosis.readiness import LastPulse
from adpkv.errors import AdpkvError
from adpkv.executor.collectives import Receive
from adpkv.executor.coordinator import Coordinator
from adpkv.executor.messages import Pulse
from adpkv.executor.ports import Clock, Mailbox
from adpkv.output import EventSink, RankRecorder
from adpkv.workload import Workload
from adpkv.worlds.assemble_coordinator import build_coordinator
from adpkv.worlds.mpi.backoff import Backoff
from adpkv.worlds.mpi.driver import guarded

__all__ = ["CoordinatorHost", "CoordinatorThread"]


class CoordinatorHost:
    """The coordinator, its thread and its files; exists on rank 0 only."""

    def __init__(
        self,
        experiment: Experiment,
        topology: Topology,
        clock: Clock,
        events: EventSink,
        mailbox: Mailbox,
        workload: Workload,
        on_record: Callable[[RequestRecord], None],
        on_pulse: Callable[[Coordinator, Mapping[int, Pulse]], None] | None,
    ) -> None:
        self._events = events
        self.recorder = RankRecorder(events, COORDINATOR, clock)
        self.last_pulses: dict[int, LastPulse] = {}
        """The last pulse of each instance's leader, and when it came (`perf_counter_ns`)."""
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
        """Start the thread, which begins to admit the workload."""
        self._thread.start()

    def close(self, bound_s: float) -> None:
        """Wait for its end, at most `bound_s` seconds, and complete its files."""
        self._thread.join(bound_s)
        self._events.close()

    def told(self) -> str:
        """What it is doing, for people."""
        return f"has {self.coordinator.done} of {self.coordinator.total} requests answered"

    def unanswered(self) -> int:
        """How many requests have no answer."""
        return self.coordinator.total - self.coordinator.done

    def never_arrived(self) -> int:
        """How many requests the workload had still to submit."""
        return self.coordinator.clients.never_arrived

    def _note_pulse(self, instance: int, pulse: Pulse) -> None:
        self._pulses[instance] = pulse
        self.last_pulses[instance] = LastPulse(perf_counter_ns(), pulse)
        if self._on_pulse is not None:
            self._on_pulse(self.coordinator, self._pulses)


class CoordinatorThread:
    """Runs the coordinator's program to its end; an exception from it ends the job."""

    def __init__(self, program: Coroutine[Any, Any, None], mailbox: Mailbox, clock: Clock) -> None:
        self._program, self._mailbox, self._clock = program, mailbox, clock
        # A daemon: if the main thread fails, the process must not wait for this thread.
        self._thread = threading.Thread(target=self._guarded, name="coordinator", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, bound_s: float) -> None:
        """Wait for its end, at most `bound_s` seconds.

        Raises:
            AdpkvError: it did not end in time.
        """
        self._thread.join(bound_s)
        if self._thread.is_alive():
            raise AdpkvError(f"the coordinator did not end within {bound_s} s after its ranks")

    def _guarded(self) -> None:
        guarded("the coordinator (beside rank 0)", self._run)

    def _run(self) -> None:
        send: Callable[[Any], Any] = self._program.send
        messages: Any = None
        while True:
            try:
                op = send(messages)
            except StopIteration:
                return
            if not isinstance(op, Receive):
                raise AdpkvError(f"the coordinator awaited {type(op).__name__}, not Receive")
            messages = self._receive(op.until_ns)

    def _receive(self, until_ns: int) -> list[Any]:
        backoff = Backoff()
        while not self._mailbox.ready():
            left_ns = until_ns - self._clock()
            if left_ns <= 0:
                break
            backoff.sleep(left_ns)
        return list(self._mailbox.receive())
