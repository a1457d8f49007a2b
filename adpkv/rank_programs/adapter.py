"""What a library of collectives (torch, mpi4py, our own) is for a check: how its calls become
operations of the world."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from adpkv.rank_programs.members import Rank
from adpkv.rank_programs.world import World

__all__ = ["Adapter", "NoLibrary", "Together"]


class Adapter(Protocol):
    """One for a number of schedules; used as a context around them."""

    def __enter__(self) -> Adapter: ...

    def __exit__(self, *_: object) -> None: ...

    def begin(self, world: World) -> None:
        """A schedule begins."""
        ...

    def swap(self, old: int, new: int) -> None:
        """The baton goes from one rank to another; -1 is the process itself."""
        ...

    def enter_rank(self, rank: Rank) -> Mapping[str, Any]:
        """A rank begins, in its thread: what its program may take as arguments, by name."""
        ...

    def leave_rank(self, rank: Rank) -> None:
        """Its program has returned, or raised."""
        ...


class NoLibrary:
    """Of a program that uses none."""

    def __enter__(self) -> NoLibrary:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin(self, world: World) -> None:
        """Nothing to do."""

    def swap(self, old: int, new: int) -> None:
        """Nothing to do."""

    def enter_rank(self, rank: Rank) -> Mapping[str, Any]:
        """No arguments beside those that all have."""
        return {}

    def leave_rank(self, rank: Rank) -> None:
        """Nothing to do."""


class Together:
    """Several adapters as one."""

    def __init__(self, adapters: Collection[Adapter]) -> None:
        self._adapters = list(adapters)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Together:
        for adapter in self._adapters:
            self._stack.enter_context(adapter)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begin(self, world: World) -> None:
        """A schedule begins."""
        for adapter in self._adapters:
            adapter.begin(world)

    def swap(self, old: int, new: int) -> None:
        """The baton goes from one rank to another."""
        for adapter in self._adapters:
            adapter.swap(old, new)

    def enter_rank(self, rank: Rank) -> Mapping[str, Any]:
        """What all of them offer as arguments."""
        found: dict[str, Any] = {}
        for adapter in self._adapters:
            found |= adapter.enter_rank(rank)
        return found

    def leave_rank(self, rank: Rank) -> None:
        """A rank's program is over."""
        for adapter in reversed(self._adapters):
            adapter.leave_rank(rank)
