"""Processes that a script starts as its ranks: they become the ranks of the schedule.

Each rank executes the script. Where that starts the processes of all ranks, rank `r` performs the
work of the `r`-th one in place, and the others are somebody else's. So `multiprocessing.Process`
and torch's `spawn` need no change, and the script's own lines around them run on each rank.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.process
import sys
from collections.abc import Callable, Sequence
from typing import Any

from adpkv.counting import counted
from adpkv.errors import TargetError
from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.program_files import ProgramFiles

__all__ = ["Spawning"]


class _Joined:
    """In place of torch's context of processes."""

    def join(self, *_: Any, **__: Any) -> bool:
        """They are over."""
        return True


class Spawning:
    """To be used as a context around a number of schedules of a script."""

    def __init__(self, driver: Driver, size: int, files: ProgramFiles) -> None:
        self._driver, self._size, self._files = driver, size, files
        self._undo = contextlib.ExitStack()
        self._started: dict[int, int] = {}

    def begin(self) -> None:
        """A schedule begins: nobody has started anything."""
        self._started.clear()

    def check(self) -> None:
        """After a schedule: raises TargetError if the script starts another number of processes
        than there are ranks."""
        for count in self._started.values():
            self._counted(count)

    def _counted(self, count: int) -> None:
        if count != self._size:
            raise TargetError(
                f"the script starts {counted(count, 'process')}; this check has"
                f" {counted(self._size, 'rank')}:"
                f" -n {count}"
            )

    def __enter__(self) -> Spawning:
        base: Any = multiprocessing.process.BaseProcess
        self._replace(base, "start", self._start(base.start))
        self._replace(base, "join", self._done(base.join, None))
        self._replace(base, "is_alive", self._done(base.is_alive, False))
        self._replace(base, "exitcode", property(self._done(base.exitcode.fget, 0)))
        modules = [multiprocessing, sys.modules.get("torch.multiprocessing")]
        for module in filter(None, modules):
            self._replace(module, "set_start_method", self._ignored(module.set_start_method))
        torch: Any = sys.modules.get("torch.multiprocessing")
        if torch is not None:
            for name in ("spawn", "start_processes"):
                self._replace(torch, name, self._spawn(getattr(torch, name)))
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def _replace(self, owner: Any, name: str, by: Any) -> None:
        self._undo.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, by)

    def _start(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def start(process: Any) -> None:
            rank = self._driver.rank_here()
            by_program = sys._getframe(1).f_code.co_filename in self._files
            if rank is None or not by_program:
                real(process)  # workers of a library, such as a DataLoader's, are no ranks
                return
            number = self._started.get(rank.number, 0)
            self._started[rank.number] = number + 1
            process.adpkv_rank = number
            if number == rank.number:
                process.run()

        return start

    def _done(self, real: Callable[..., Any], answer: Any) -> Callable[..., Any]:
        def done(process: Any, *arguments: Any, **named: Any) -> Any:
            if hasattr(process, "adpkv_rank"):
                return answer
            return real(process, *arguments, **named)

        return done

    def _ignored(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def set_start_method(*arguments: Any, **named: Any) -> None:
            if self._driver.rank_here() is None:
                real(*arguments, **named)

        return set_start_method

    def _spawn(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def spawn(
            fn: Callable[..., Any],
            args: Sequence[Any] = (),
            nprocs: int = 1,
            join: bool = True,
            *more: Any,
            **named: Any,
        ) -> Any:
            rank = self._driver.rank_here()
            if rank is None:
                return real(fn, args, nprocs, join, *more, **named)
            self._counted(nprocs)
            fn(rank.number, *args)
            return None if join else _Joined()

        return spawn
