"""The programs of a virtual group's members: how they go on, and whose has ended.

Whoever resumes a program here notes whether it ends by that, with a result or with an error: one
that has ended must not be closed, and awaits nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from adpkv.executor.collectives import Operation
from adpkv.worlds.virtual.places import Program

__all__ = ["Programs"]


class Programs:
    """One for each living member of a group, in the order of `members`, which is the group's own
    list."""

    __slots__ = ("_members", "_programs", "_resume", "ended")

    def __init__(self, members: list[int], programs: Sequence[Program]) -> None:
        self._members = members
        self._programs = list(programs)
        self._resume: list[Callable[[Any], Operation]] = [one.send for one in programs]
        self.ended: set[int] = set()
        """The world ranks of those that have ended."""

    def __getitem__(self, index: int) -> Program:
        return self._programs[index]

    def resume(self, index: int, value: Any) -> Operation:
        """Resume one; returns what it awaits next. It raises what the program ends with."""
        try:
            return self._resume[index](value)
        except BaseException:
            self.ended.add(self._members[index])
            raise

    def resume_each(self, there: Sequence[int], values: Sequence[Any]) -> list[Any]:
        """Resume these, each with a value of its own."""
        resume, found, index = self._resume, list[Any](), 0
        try:
            for index, value in zip(there, values, strict=True):
                found.append(resume[index](value))
        except BaseException:
            self.ended.add(self._members[index])
            raise
        return found

    def resume_all(self, there: Sequence[int], value: Any) -> list[Any]:
        """Resume these with the same value."""
        resume, found, index = self._resume, list[Any](), 0
        try:
            for index in there:
                found.append(resume[index](value))
        except BaseException:
            self.ended.add(self._members[index])
            raise
        return found

    def throw(self, index: int, error: Exception) -> Operation:
        """Raise this where one is suspended; returns what it awaits next."""
        try:
            return self._programs[index].throw(error)
        except BaseException:
            self.ended.add(self._members[index])
            raise

    def replace(self, programs: Sequence[Program]) -> None:
        """End them, and let these take their places."""
        for program in self._programs:
            program.close()
        self._programs = list(programs)
        self._resume = [program.send for program in programs]

    def remove(self, index: int) -> None:
        """End one: its rank has failed."""
        self._programs[index].close()
        del self._programs[index]
        del self._resume[index]

    def close(self) -> None:
        """The run is over: close them, wherever they are."""
        for rank, program in zip(self._members, self._programs, strict=True):
            # A suspended program holds references to its collective. Whatever it raises while it is
            # closed is of no interest, and it may not await anything. One that has ended, compiled
            # by mypyc 2.4, would raise an error that stays the one being handled ever after.
            if rank not in self.ended:
                with suppress(Exception):
                    program.close()
