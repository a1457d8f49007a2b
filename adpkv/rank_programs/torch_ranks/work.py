"""torch's handle of an operation that goes on: `Work`, over a wait of the world."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import torch
from torch.distributed import Work

from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.members import Group, Rank
from adpkv.rank_programs.operations import Arrival, Wait
from adpkv.rank_programs.torch_ranks.peers import broken, connection_closed

__all__ = ["RankWork", "Together"]


class RankWork(Work):  # type: ignore[misc]
    """What each of c10d's calls returns. Waiting lets other ranks go on."""

    def __init__(
        self,
        driver: Driver,
        rank: Rank,
        on: Wait,
        what: str,
        tensors: Any,
        arrival: Arrival,
        group: Group,
    ) -> None:
        super().__init__()
        self._group = group
        self._told_ns = 0
        self._driver, self._rank, self._on, self._what = driver, rank, on, what
        self._tensors = tensors
        self.arrival = arrival
        rank.unwaited[arrival] = arrival

    def _waited(self) -> None:
        self._rank.unwaited.pop(self.arrival, None)

    def wait(self, timeout: timedelta | None = None) -> bool:
        """Wait until all members have come; a timeout that is given ends it with an error."""
        self._waited()
        if self._on.done and self._on.torn < 0:
            return True
        deadline_ns = 0
        if timeout is not None and timedelta(0) < timeout < timedelta(days=1):
            deadline_ns = self._driver.now_ns() + int(timeout.total_seconds() * 1e9)
        if not self._driver.wait(self._rank, self._on, self._what, deadline_ns):
            world = self._driver.world
            late = 0 < deadline_ns <= world.clock_ns and not self._on.done
            if world.gone and self._lost() >= 0 and not late:
                broken(self._driver, self._rank, self._on, self._what, self._group)
            raise torch.distributed.DistBackendError(f"timed out after {timeout} in {self._what}")
        return True

    def is_completed(self) -> bool:
        """Have all members come?"""
        if not self._on.done:
            self._driver.pause(self._rank, polling=True)
        if self._on.done:
            self._waited()
        elif self._driver.world.gone and self._lost() >= 0:
            return self._is_told()
        return self._on.done

    def _lost(self) -> int:
        """The rank that is gone and without which it is never done; -1 if there is none."""
        return self._on.torn if self._on.done else self._on.missing(self._driver.world)

    def _is_told(self) -> bool:
        """A rank is gone: has the library noticed? NCCL's watchdog then ends this one."""
        world, group = self._driver.world, self._group
        self._told_ns = self._told_ns or world.clock_ns + group.patience_ns
        if world.clock_ns >= self._told_ns and group.patience_ns:
            broken(self._driver, self._rank, self._on, self._what, group)
        return not group.patience_ns

    def is_success(self) -> bool:
        """Did it end well?"""
        return self._on.done

    def exception(self) -> Exception | None:
        """What it failed with."""
        if self._on.done or self._lost() < 0:
            return None
        return connection_closed(self._lost())

    def synchronize(self) -> None:
        """Wait, as on a stream."""
        self.wait()

    def block_current_stream(self) -> None:
        """Wait, as on a stream."""
        self.wait()

    def source_rank(self) -> int:
        """Who sent what was received."""
        return int(getattr(self._on, "source", -1))

    _source_rank = source_rank

    def result(self) -> Any:
        """The tensors that it writes."""
        self.wait()
        return self._tensors

    def get_future(self) -> Any:
        """A future that is complete: C++ code waits for it without letting other ranks go on, so
        the wait is here."""
        self.wait()
        future: Any = torch.futures.Future()
        future.set_result(self._tensors)
        return future


class Together(Work):  # type: ignore[misc]
    """Several works as one."""

    def __init__(self, works: Sequence[RankWork]) -> None:
        super().__init__()
        self._works = works

    def wait(self, timeout: Any = None) -> bool:
        """Wait for all of them."""
        for work in self._works:
            work.wait(timeout)
        return True

    def is_completed(self) -> bool:
        """Are all of them complete?"""
        return all(work.is_completed() for work in self._works)

    def get_future(self) -> Any:
        """A future that is complete (`RankWork.get_future`)."""
        self.wait()
        return self._works[-1].get_future()

    def synchronize(self) -> None:
        """Wait, as on a stream."""
        self.wait()
