"""Time and chance as a rank sees them: virtual time, and generators of its own.

The functions of `time`, `random` and `numpy.random` are replaced by ones that look whether a rank
calls them; all others get what they always had. A program's modules are imported after that, so
`from time import sleep` is covered too.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.members import Rank
from adpkv.rank_programs.operations import Wait
from adpkv.rank_programs.world import World

__all__ = ["EPOCH_S", "OwnWorld"]

EPOCH_S: Final = 1_700_000_000
"""`time.time()` as a schedule begins, in seconds since 1970: the same in each."""

_CLOCKS: Final = {
    "time": (EPOCH_S, 1e-9),
    "monotonic": (0, 1e-9),
    "perf_counter": (0, 1e-9),
    "time_ns": (EPOCH_S * 10**9, 1),
    "monotonic_ns": (0, 1),
    "perf_counter_ns": (0, 1),
}
"""By function: where it begins, and how long a nanosecond is."""

_RANDOM: Final = tuple(
    name for name in random.__all__ if getattr(getattr(random, name), "__self__", None) is not None
)
"""The functions of the process's one generator."""


class OwnWorld:
    """The replacements. To be used as a context around a number of schedules."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._before: list[tuple[Any, str, Any]] = []
        self._randoms: Mapping[int, random.Random] = {}
        self._arrays: dict[int, Any] = {}
        self._world: World | None = None

    def begin(self, world: World, randoms: Mapping[int, random.Random]) -> None:
        """A schedule begins, with one generator for each rank."""
        self._world, self._randoms = world, randoms
        self._arrays = {}

    def __enter__(self) -> OwnWorld:
        for name, (start, unit) in _CLOCKS.items():
            self._replace(time, name, self._clock(getattr(time, name), start, unit))
        self._replace(time, "sleep", self._sleep(time.sleep))
        for name in _RANDOM:
            self._replace(random, name, self._drawn(name, getattr(random, name)))
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            self._replace_numpy(numpy)
        return self

    def __exit__(self, *_: object) -> None:
        for module, name, before in reversed(self._before):
            setattr(module, name, before)
        self._before.clear()

    def _replace(self, module: Any, name: str, by: Any) -> None:
        self._before.append((module, name, getattr(module, name)))
        setattr(module, name, by)

    def _clock(self, real: Callable[[], Any], start: int, unit: float) -> Callable[[], Any]:
        def clock() -> Any:
            rank = self._driver.rank_here()
            if rank is None or self._world is None:
                return real()
            self._driver.tick(rank)
            return start + self._world.clock_ns * unit

        return clock

    def _sleep(self, real: Callable[[float], None]) -> Callable[[float], None]:
        def sleep(seconds: float) -> None:
            rank = self._driver.rank_here()
            if rank is None or self._world is None:
                real(seconds)
                return
            if seconds < 0:
                raise ValueError("sleep length must be non-negative")
            self._driver.pause(rank)
            until = self._world.clock_ns + max(1, int(seconds * 1e9))
            self._driver.wait(rank, Wait(), f"time.sleep({seconds:g})", until)

        return sleep

    def _drawn(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def drawn(*arguments: Any, **named: Any) -> Any:
            rank = self._driver.rank_here()
            if rank is None:
                return real(*arguments, **named)
            return getattr(self._randoms[rank.number], name)(*arguments, **named)

        return drawn

    def _replace_numpy(self, numpy: Any) -> None:
        module = numpy.random
        legacy = module.mtrand._rand
        for name in dir(module):
            found = getattr(module, name)
            if getattr(found, "__self__", None) is legacy:
                self._replace(module, name, self._drawn_array(name, found, numpy))
        self._replace(module, "default_rng", self._generator(module.default_rng))

    def _drawn_array(self, name: str, real: Callable[..., Any], numpy: Any) -> Callable[..., Any]:
        def drawn(*arguments: Any, **named: Any) -> Any:
            rank = self._driver.rank_here()
            if rank is None:
                return real(*arguments, **named)
            own = self._arrays.get(rank.number)
            if own is None:
                seed = self._seed(rank)
                own = self._arrays[rank.number] = numpy.random.RandomState(seed)
            return getattr(own, name)(*arguments, **named)

        return drawn

    def _generator(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def default_rng(seed: Any = None) -> Any:
            rank = self._driver.rank_here()
            if rank is not None and seed is None:
                seed = self._seed(rank)
            return real(seed)

        return default_rng

    def _seed(self, rank: Rank) -> int:
        return self._randoms[rank.number].getrandbits(32)
