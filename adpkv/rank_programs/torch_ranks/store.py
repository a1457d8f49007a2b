"""torch's key-value store among the ranks of a schedule: a dictionary, with waits of the world."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from torch.distributed import DistStoreError, Store

from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.failure import lost
from adpkv.rank_programs.operations import Wait
from adpkv.rank_programs.world import World

__all__ = ["RankStore", "StoreData"]

SECONDS: Final = 300.0
"""How long a wait may take unless the program says otherwise, in virtual time; torch's default."""


class StoreData:
    """What all ranks see of one store, and who waits for which keys."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.values: dict[str, bytes] = {}
        self.queues: dict[str, list[bytes]] = {}
        self.waits: list[tuple[Wait, tuple[str, ...]]] = []

    def set(self, key: str, value: bytes) -> None:
        """Write, and end the waits that have all their keys now."""
        self.world.progressed()
        self.values[key] = value
        for wait, keys in self.waits:
            wait.done = all(k in self.values for k in keys)
        self.waits = [(wait, keys) for wait, keys in self.waits if not wait.done]


class _KeyWait(Wait):
    """For keys. Once a rank is gone, which may be the one that would write them, the store's own
    limit ends it."""

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def told_ns(self, world: World) -> int:
        """When the limit is over."""
        return world.clock_ns + int(self._seconds * 1e9) if world.gone else 0


class RankStore(Store):  # type: ignore[misc]
    """One rank's end of a store."""

    def __init__(self, driver: Driver, data: StoreData, prefix: str = "") -> None:
        super().__init__()
        self._driver, self._data, self._prefix = driver, data, prefix
        self._seconds = SECONDS
        self._read: tuple[str, bytes] | None = None
        """What was read last."""

    def _meets(self) -> None:
        rank = self._driver.rank_here()
        if rank is not None:
            self._driver.pause(rank)

    def prefixed(self, prefix: str) -> RankStore:
        """Another end of the same, for the keys that begin so: torch's `PrefixStore`."""
        found = RankStore(self._driver, self._data, f"{self._prefix}{prefix}/")
        found._seconds = self._seconds
        return found

    def set(self, key: str, value: str | bytes) -> None:
        """Write a value."""
        self._meets()
        self._data.set(
            self._prefix + key, value.encode() if isinstance(value, str) else bytes(value)
        )

    def get(self, key: str) -> bytes:
        """Read a value, as soon as there is one. Who reads the same again asks in vain: the others
        come first, and not for ever."""
        self.wait([key])
        rank = self._driver.rank_here()
        if rank is not None and self._read == (key, self._data.values[self._prefix + key]):
            self._driver.pause(rank, polling=True)
        self._read = (key, self._data.values[self._prefix + key])
        return self._data.values[self._prefix + key]

    def add(self, key: str, amount: int) -> int:
        """Add to a number, and read it."""
        self._meets()
        key = self._prefix + key
        total = int(self._data.values.get(key, b"0")) + amount
        self._data.set(key, str(total).encode())
        return total

    def append(self, key: str, value: str | bytes) -> None:
        """Add to the end of a value."""
        found = value.encode() if isinstance(value, str) else bytes(value)
        self.set(key, self._data.values.get(self._prefix + key, b"") + found)

    def compare_set(self, key: str, expected: str | bytes, desired: str | bytes) -> bytes:
        """Write if the value is the expected one; what is there then."""
        self._meets()
        key = self._prefix + key
        there = self._data.values.get(key)
        before = expected.encode() if isinstance(expected, str) else bytes(expected)
        after = desired.encode() if isinstance(desired, str) else bytes(desired)
        if there == before or (there is None and not before):
            self._data.set(key, after)
            return after
        return before if there is None else there

    def check(self, keys: Sequence[str]) -> bool:
        """Are all keys there?"""
        found = all(self._prefix + key in self._data.values for key in keys)
        rank = self._driver.rank_here()
        if rank is not None:
            self._driver.pause(rank, polling=not found)
        return found

    def delete_key(self, key: str) -> bool:
        """Take a key away; was it there?"""
        self._meets()
        return self._data.values.pop(self._prefix + key, None) is not None

    def num_keys(self) -> int:
        """How many keys there are."""
        self._meets()
        return len(self._data.values)

    def multi_get(self, keys: Sequence[str]) -> list[bytes]:
        """Several values, as soon as all are there."""
        self.wait(list(keys))
        return [self._data.values[self._prefix + key] for key in keys]

    def multi_set(self, keys: Sequence[str], values: Sequence[str | bytes]) -> None:
        """Several values."""
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def wait(self, keys: Sequence[str], timeout: timedelta | None = None) -> None:
        """Wait until all keys are there; an error when the time is over."""
        self._meets()
        data, rank = self._data, self._driver.rank_here()
        whole = tuple(self._prefix + key for key in keys)
        if all(key in data.values for key in whole):
            return
        wait = _KeyWait(self._seconds)
        data.waits.append((wait, whole))
        told = f"store.wait({', '.join(keys)})"
        if rank is None:
            raise DistStoreError(f"{told}: no rank waits here")
        # As with collectives, only a limit that the program itself gives ends a wait: without one
        # the report says who never wrote the key.
        deadline_ns = 0
        if timeout is not None:
            deadline_ns = data.world.clock_ns + int(timeout.total_seconds() * 1e9)
        if not self._driver.wait(rank, wait, told, deadline_ns):
            seconds = self._seconds if timeout is None else timeout.total_seconds()
            error = DistStoreError(f"wait timeout after {seconds:g} s, keys: {', '.join(keys)}")
            raise lost(error, data.world.gone[0]) if timeout is None else error

    def set_timeout(self, timeout: timedelta) -> None:
        """For waits without one of their own."""
        self._seconds = timeout.total_seconds()

    @property
    def timeout(self) -> timedelta:
        """The same."""
        return timedelta(seconds=self._seconds)

    def has_extended_api(self) -> bool:
        """Does it have append, multi_get and multi_set?"""
        return True

    def clone(self) -> Any:
        """Another end of the same."""
        return RankStore(self._driver, self._data, self._prefix)
