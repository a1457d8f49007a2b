"""`MPI.Status` and `MPI.Request`: what a receive tells, and an operation that goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.members import Rank
from adpkv.rank_programs.mpi_ranks.buffers import Datatype
from adpkv.rank_programs.mpi_ranks.messages import Message, Messages, Receive
from adpkv.rank_programs.mpi_ranks.peers import wait_for
from adpkv.rank_programs.mpi_ranks.provided import Provided
from adpkv.rank_programs.operations import Arrival, Wait
from adpkv.rank_programs.world import World

__all__ = ["Request", "Status"]


class Status(Provided):
    """What a receive, or a probe, found."""

    def __init__(self) -> None:
        self.source, self.tag, self.nbytes, self.cancelled = -1, -1, 0, False
        self.error = 0

    def fill(self, message: Message | None) -> None:
        """Tell about this message."""
        if message is not None:
            self.source, self.tag, self.nbytes = message.source, message.tag, message.nbytes

    def Get_source(self) -> int:  # noqa: N802
        """Who sent it."""
        return self.source

    def Get_tag(self) -> int:  # noqa: N802
        """With which tag."""
        return self.tag

    def Get_error(self) -> int:  # noqa: N802
        """No error."""
        return 0

    def Get_count(self, datatype: Datatype | None = None) -> int:  # noqa: N802
        """How many elements it has."""
        return self.nbytes // (datatype.Get_size() if datatype is not None else 1)

    Get_elements = Get_count

    @property
    def count(self) -> int:
        """How many bytes."""
        return self.nbytes

    def Is_cancelled(self) -> bool:  # noqa: N802
        """Was the operation cancelled?"""
        return self.cancelled


class Request(Provided):
    """An operation that goes on; its `result` is what `wait` returns."""

    def __init__(
        self,
        driver: Driver,
        rank: Rank | None,
        on: Wait,
        what: str,
        result: Callable[[], Any],
        arrival: Arrival | None,
        messages: Messages | None = None,
    ) -> None:
        self._driver, self._rank, self._on, self._what = driver, rank, on, what
        self._result, self._messages = result, messages
        self._over = rank is None
        self._arrival = arrival
        if rank is not None and arrival is not None:
            rank.unwaited[arrival] = arrival

    @classmethod
    def null(cls, driver: Driver) -> Request:
        """`MPI.REQUEST_NULL`, which is complete."""
        done = Wait()
        done.done = True
        return cls(driver, None, done, "", lambda: None, None)

    def _waited(self, status: Status | None) -> Any:
        self._over = True
        if self._rank is not None:
            self._rank.unwaited.pop(self._arrival, None)
        if status is not None and isinstance(self._on, Receive):
            status.fill(self._on.message)
        return self._result()

    def wait(self, status: Status | None = None) -> Any:
        """Wait for its end; what it has brought."""
        if self._rank is not None and not self._over:
            wait_for(self._driver, self._rank, self._on, self._what)
        return self._waited(status)

    def test(self, status: Status | None = None) -> tuple[bool, Any]:
        """Is it over, and what has it brought?"""
        if not self._on.done and self._rank is not None:
            self._driver.pause(self._rank, polling=True)
            world = self._driver.world
            if not self._on.done and world.gone and self._on.told_ns(world):
                self.wait(status)  # which raises, or ends the job
        if not self._on.done:
            return False, None
        return True, self._waited(status)

    def Wait(self, status: Status | None = None) -> bool:  # noqa: N802
        """Wait for its end."""
        self.wait(status)
        return True

    def Test(self, status: Status | None = None) -> bool:  # noqa: N802
        """Is it over?"""
        return self.test(status)[0]

    def Cancel(self) -> None:  # noqa: N802
        """A receive that has nothing yet takes nothing any more."""
        if isinstance(self._on, Receive) and not self._on.done and self._messages is not None:
            self._messages.cancel(self._on)

    cancel = Cancel

    def Free(self) -> None:  # noqa: N802
        """The program does not want to know."""
        if self._rank is not None:
            self._rank.unwaited.pop(self._arrival, None)

    @classmethod
    def waitall(cls, requests: Sequence[Request], statuses: Any = None) -> list[Any]:
        """Wait for all of them."""
        found = []
        for place, request in enumerate(requests):
            found.append(request.wait(statuses[place] if statuses else None))
        return found

    @classmethod
    def Waitall(cls, requests: Sequence[Request], statuses: Any = None) -> bool:  # noqa: N802
        """Wait for all of them."""
        cls.waitall(requests, statuses)
        return True

    @classmethod
    def waitany(cls, requests: Sequence[Request], status: Status | None = None) -> tuple[int, Any]:
        """Wait for one of them: its place, and what it has brought."""
        open_ones = [(place, r) for place, r in enumerate(requests) if not r._over]
        while open_ones:
            done = [place for place, request in open_ones if request._on.done]
            _, first = open_ones[0]
            assert first._rank is not None
            if done:
                # Which of them it is, is a choice, as it is with any MPI.
                place = first._driver.world.choose(done)
                return place, requests[place]._waited(status)
            either = _Any([r._on for _, r in open_ones])
            if not first._driver.wait(first._rank, either, "waitany"):
                world = first._driver.world
                one = next((r for _, r in open_ones if r._on.told_ns(world)), first)
                one.wait(status)  # which raises, or ends the job
        return -32766, None

    @classmethod
    def Waitany(  # noqa: N802
        cls, requests: Sequence[Request], status: Status | None = None
    ) -> int:
        """The same without what it has brought."""
        return cls.waitany(requests, status)[0]

    @classmethod
    def waitsome(
        cls, requests: Sequence[Request], statuses: Any = None
    ) -> tuple[list[int] | None, list[Any] | None]:
        """Wait until one of them is over: the places of all that are, and what they have
        brought."""
        if all(request._over for request in requests):
            return None, None
        place, value = cls.waitany(requests)
        places, values = [place], [value]
        for other, request in enumerate(requests):
            if not request._over and request._on.done:
                places.append(other)
                values.append(request._waited(None))
        return places, values

    @classmethod
    def Waitsome(  # noqa: N802
        cls, requests: Sequence[Request], statuses: Any = None
    ) -> list[int] | None:
        """The same without what they have brought."""
        return cls.waitsome(requests, statuses)[0]

    @classmethod
    def testany(
        cls, requests: Sequence[Request], status: Status | None = None
    ) -> tuple[int, bool, Any]:
        """Is one of them over?"""
        open_ones = [request for request in requests if not request._over]
        if not open_ones:
            return -32766, True, None
        if not any(request._on.done for request in open_ones):
            open_ones[0].test()
        if any(request._on.done and not request._over for request in open_ones):
            place, value = cls.waitany(requests, status)
            return place, True, value
        return -32766, False, None

    @classmethod
    def Testany(  # noqa: N802
        cls, requests: Sequence[Request], status: Status | None = None
    ) -> tuple[int, bool]:
        """The same without what it has brought."""
        return cls.testany(requests, status)[:2]

    @classmethod
    def testall(cls, requests: Sequence[Request], statuses: Any = None) -> tuple[bool, Any]:
        """Are all of them over?"""
        for request in requests:
            if not request._on.done:
                request.test()
                return False, None
        return True, cls.waitall(requests, statuses)

    @classmethod
    def Testall(cls, requests: Sequence[Request], statuses: Any = None) -> bool:  # noqa: N802
        """Are all of them over?"""
        return cls.testall(requests, statuses)[0]

    def __bool__(self) -> bool:
        return self._rank is not None and not self._over


class _Any(Wait):
    """Done as soon as one of several is."""

    def __init__(self, several: Sequence[Wait]) -> None:
        self._several = several
        self.torn = -1

    def told_ns(self, world: World) -> int:
        """As soon as one of them is told."""
        return next((ns for ns in (one.told_ns(world) for one in self._several) if ns), 0)

    @property
    def done(self) -> bool:  # type: ignore[override]
        """Is one of them done?"""
        return any(one.done for one in self._several)
