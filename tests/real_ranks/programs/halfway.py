"""What a rank does once half of what it writes into shared memory is there."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from adpkv.flight_recorder.slot_layout import TAIL_BYTES
from adpkv.worlds.mpi.exchange import segment, shared

__all__ = ["halfway"]


def halfway(what: str, then: Callable[[], None]) -> None:
    """Let this process call `then` in the middle of each `head`, `tail` or `payload` that it writes
    into segments that it opens from now on. Of a head all but the round is there then, as `struct`
    leaves it."""
    pack = shared._pack_head

    def pack_halves(memory: Any, at: int, *fields: int) -> None:
        pack(memory, at, *fields[:-1], 0)
        then()
        pack(memory, at, *fields)

    class Half(mmap.mmap):
        """Memory into which is written in halves."""

        def __setitem__(self, place: Any, data: Any) -> None:
            begin, end, _ = place.indices(len(self))
            if (end - begin > TAIL_BYTES) == (what == "payload"):
                middle = (begin + end) // 2
                super().__setitem__(slice(begin, middle), data[: middle - begin])
                then()
            super().__setitem__(place, data)

    if what == "head":
        shared._pack_head = pack_halves  # type: ignore[assignment]
    else:
        flags = {name: getattr(mmap, name) for name in dir(mmap) if name.startswith("MAP_")}
        segment.mmap = SimpleNamespace(mmap=Half, **flags)  # type: ignore[assignment]
