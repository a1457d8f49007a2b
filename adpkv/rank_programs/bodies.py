"""The body of a test as a program: each rank calls it, with a handle of its own.

The test's module is not imported again: its ranks share it, and the other fixtures of the test.
"""

from __future__ import annotations

import ast
import contextlib
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

from adpkv.rank_programs.adapter import Adapter, Together
from adpkv.rank_programs.modules import ProgramModules
from adpkv.rank_programs.program_imports import imports_of
from adpkv.rank_programs.session import Session, Settings
from adpkv.rank_programs.target import Target

__all__ = ["BodySession", "Ranks", "body_target"]


class Ranks:
    """What a test's body gets as `ranks`: who it is, and how it reaches the others."""

    def __init__(
        self,
        rank: int,
        world_size: int,
        comm: Any,
        dist: Any,
        clock: Callable[[], float],
        kill: Callable[[], None] = lambda: None,
    ) -> None:
        self.rank, self.world_size, self.comm = rank, world_size, comm
        self._dist, self._clock, self._kill = dist, clock, kill

    def __repr__(self) -> str:
        return f"<rank {self.rank} of {self.world_size}>"

    @property
    def dist(self) -> Any:
        """torch.distributed, with its default group made."""
        if self._dist is None:
            raise RuntimeError("ranks.dist is there where the test's module imports torch")
        return self._dist

    @property
    def clock(self) -> float:
        """Time in seconds; virtual in the virtual world."""
        return self._clock()

    def kill(self, rank: int) -> None:
        """The process of this rank dies here, as by SIGKILL; on the others nothing happens. What
        they see of it is as in life."""
        if self._known(rank) == self.rank:
            self._kill()

    def _known(self, rank: int) -> int:
        if not isinstance(rank, int) or not 0 <= rank < self.world_size:
            raise ValueError(f"there is no rank {rank!r}: they are 0 to {self.world_size - 1}")
        return rank

    @contextlib.contextmanager
    def raises(
        self, kind: type[BaseException], *, on: Collection[int] | int | None = None
    ) -> Iterator[None]:
        """On the ranks `on` (all if None) the block must raise `kind`; on the others it must
        not."""
        named = {on} if isinstance(on, int) else on
        expected = named is None or self.rank in [self._known(rank) for rank in named]
        if not expected:
            yield
            return
        try:
            yield
        except kind:
            return
        raise AssertionError(f"rank {self.rank} did not raise {kind.__name__}")


def body_target(name: str, file: str, *, is_async: bool) -> Target:
    """The target that stands for a body in this file."""
    try:
        with open(file, "rb") as opened:
            content = opened.read()
        imports = imports_of(ast.parse(content))
    except (OSError, SyntaxError, ValueError):
        content, imports = b"", frozenset()
    return Target(name, file, "body", "body", None, imports, b"cuda" in content, is_async)


class BodySession(Session):
    """A session whose program is a function with its arguments."""

    allow_option = "the marker's allow={word!r}"

    def __init__(
        self, name: str, file: str, settings: Settings, body: Callable[..., Any], *, is_async: bool
    ) -> None:
        # A test says with `raises` which errors it expects.
        strict = replace(settings, must_handle=True)
        super().__init__(body_target(name, file, is_async=is_async), strict)
        self._body, self._name = body, name

    def replay_line(self, token: str, ranks: int = 0) -> str:
        """pytest makes the schedule again."""
        return f"pytest '{self._name}' --adpkv-replay {token}"

    def _make_adapter(self) -> Adapter:
        from adpkv.rank_programs.libraries import adapter_for
        from adpkv.rank_programs.mpi_ranks.library import MpiRanks

        target, ranks = self.target, self.settings.ranks
        if target.is_async:
            return adapter_for(target, "", self.driver, ranks)
        adapters: list[Adapter] = [MpiRanks(self.driver, raising=True)]
        if "torch" in target.imports:
            adapters.append(adapter_for(target, "torch", self.driver, ranks))
        return Together(adapters)

    def _load_function(self, modules: ProgramModules) -> Callable[..., Any] | None:
        return self._called

    def _called(self, rank: Any, comm: Any = None) -> Any:
        if self.target.is_async:
            return self._body(rank)
        dist = None
        if "torch" in self.target.imports:
            import importlib

            dist = importlib.import_module("torch.distributed")
            dist.init_process_group("gloo")
        handle = Ranks(rank, self.settings.ranks, comm, dist, self._clock, self._kill)
        return self._body(handle)

    def _kill(self) -> None:
        here = self.driver.rank_here()
        assert here is not None, "a rank calls it"
        self.driver.world.kill(here, sys._getframe(2))

    def _clock(self) -> float:
        """Virtual time in seconds; a little passes with each reading."""
        here = self.driver.rank_here()
        if here is not None:
            self.driver.tick(here)
        return self.driver.now_ns() / 1e9
