"""Awaits that a program over our rank API has forgotten: `rank.send(1, 0)` alone does nothing.

Python warns of such a coroutine as it throws it away, which is nearly always in the line that made
it. That moment is watched: to watch each call instead would cost a quarter of a check's speed.
"""

from __future__ import annotations

import sys
import warnings
from types import CoroutineType
from typing import Any, Final

from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.operations import Arrival, Operation
from adpkv.rank_programs.program_files import ProgramFiles

__all__ = ["FORGOTTEN", "ForgottenAwaits"]

FORGOTTEN: Final = ("forgotten",)
"""The key of an operation that was not made."""


class ForgottenAwaits:
    """To be used as a context around a number of schedules."""

    def __init__(self, driver: Driver, files: ProgramFiles) -> None:
        self._driver, self._files = driver, files

    def __enter__(self) -> ForgottenAwaits:
        self._before = warnings._warn_unawaited_coroutine  # type: ignore[attr-defined]
        warnings._warn_unawaited_coroutine = self._thrown_away  # type: ignore[attr-defined]
        return self

    def __exit__(self, *_: object) -> None:
        warnings._warn_unawaited_coroutine = self._before  # type: ignore[attr-defined]

    def _thrown_away(self, coroutine: CoroutineType[Any, Any, Any]) -> None:
        rank = self._driver.rank_here()
        if rank is None:
            self._before(coroutine)
            return
        code, line = self._files.place(sys._getframe(1))
        name = coroutine.__qualname__
        operation = Operation(name.removeprefix("RankApi."), FORGOTTEN)
        arrival = Arrival(rank.number, operation, None, code, line)
        rank.unwaited[arrival] = arrival
        # Python's own words, about the line of the program and not this one.
        told = f"coroutine '{name}' was never awaited"
        warnings.warn(told, RuntimeWarning, stacklevel=2, source=coroutine)
