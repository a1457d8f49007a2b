"""The coordinator in virtual time: a program in the process of rank 0.

It takes no time. It wakes for messages and for its own deadlines, and sends nothing more once rank
0 has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from adpkv.core.ids import COORDINATOR, NEVER
from adpkv.executor.collectives import Receive
from adpkv.worlds.virtual.event_queue import COORDINATOR_WAKE, EventQueue
from adpkv.worlds.virtual.mailbox import Post

__all__ = ["VirtualHost"]


class VirtualHost:
    """Runs the coordinator's program, from `start` until it ends or its host fails."""

    def __init__(
        self, queue: EventQueue, post: Post, program: Coroutine[Receive, Any, None]
    ) -> None:
        self._queue = queue
        self._box = post.box(COORDINATOR)
        self._program: Coroutine[Receive, Any, None] | None = program
        self._until_ns = NEVER
        self._due: Callable[[int], None] = self._is_due
        """Made once: a method is a new object whenever it is asked for."""
        self._number = self._valid = 0
        """Of the last planned wake-up, and of the one that counts: others in the queue are void."""
        self._planned: dict[int, int] | None = {} if type(queue) is EventQueue else None
        """When wake-ups are in the queue, with their numbers: the next deadline is mostly the same
        as before a message. Unless the queue draws a place for each that it is given."""

    @property
    def waits(self) -> bool:
        """Whether the program has not ended yet."""
        return self._program is not None

    def start(self) -> None:
        """Run it to its first wait."""
        self._resume(None)

    def wake(self) -> None:
        """Messages have arrived."""
        if self._program is not None:
            self._plan(self._queue.now)

    def stop(self) -> None:
        """End the program where it is: its host's process has failed, or the run is over."""
        if self._program is not None:
            self._program.close()
        self._program = None
        self._valid = -1

    def _plan(self, at_ns: int) -> None:
        if at_ns >= self._until_ns:
            return
        self._until_ns = at_ns
        planned = self._planned
        if planned is not None and at_ns in planned:
            self._valid = planned[at_ns]
            return
        self._number = self._valid = number = self._number + 1
        if planned is not None:
            planned[at_ns] = number
        self._queue.add(at_ns, COORDINATOR_WAKE, 0, number, self._due, number)

    def _is_due(self, number: int) -> None:
        if self._planned is not None:
            del self._planned[self._queue.now]
        if number == self._valid:
            self._resume(self._box.receive())

    def _resume(self, messages: Any) -> None:
        assert self._program is not None
        self._until_ns = NEVER
        try:
            receive = self._program.send(messages)
        except StopIteration:
            self._program = None
            return
        until_ns, now_ns = receive.until_ns, self._queue.now
        if until_ns < NEVER:
            self._plan(until_ns if until_ns > now_ns else now_ns)
