"""A workload that is not ours: what it raises is told as its own, and what it gives is checked.

Without this its mistakes came up somewhere else, as a bug of adpkv: a prompt of no tokens in a
rank's prefill, a time that is no integer in the event queue. It costs a call more a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from adpkv.core.ids import NEVER
from adpkv.errors import UsageError
from adpkv.plugins import as_index, is_ours, raised
from adpkv.workload.given import NoneDueError
from adpkv.workload.port import Arrival, Workload

__all__ = ["OwnWorkload"]

_LEAST: Final = {
    "at_ns": 0,
    "prompt_tokens": 1,
    "output_tokens": 0,
    "cancel_ns": -1,
    "stops_after": -1,
    "deadline_ns": -1,
}
"""The integers of an arrival, and the least that each may be."""


class OwnWorkload:
    """A custom workload, which is `who` in the text of an error. Implements `Workload`.

    Raises:
        UsageError: (also of every method) the workload has raised an error, or has given something
            else than the port says.
    """

    def __init__(self, who: str, inner: Workload) -> None:
        self._who, self._inner = who, inner
        self._due_ns = NEVER
        """What it has said of the next request; `NEVER` until it is asked."""
        self.total = self._index("total", self._asked("total", lambda: inner.total))

    def due_ns(self) -> int:
        """When the next request arrives."""
        self._due_ns = self._index("due_ns", self._asked("due_ns", self._inner.due_ns))
        return self._due_ns

    def take(self) -> Arrival:
        """Remove and return the next request."""
        arrival = self._asked("take", self._inner.take)
        self._due_ns = NEVER
        if not isinstance(arrival, Arrival):
            raise UsageError(
                f"{self._who}: take returned {arrival!r:.80}, which is no Arrival of adpkv.ports"
            )
        problem = next(_problems(arrival), "")
        if problem:
            raise UsageError(f"{self._who}: take returned an Arrival whose {problem}")
        return _plain(arrival)

    def ended(self, now_ns: int, number: int) -> None:
        """A request has its answer."""
        self._asked("ended", lambda: self._inner.ended(now_ns, number))

    def _asked(self, what: str, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except (Exception, SystemExit) as error:
            if is_ours(error) or (isinstance(error, NoneDueError) and self._due_ns >= NEVER):
                raise  # the latter: whoever took what it had not said to be due
            raise UsageError(f"{self._who}: {what} {raised(error)}") from error

    def _index(self, what: str, value: object) -> int:
        found = as_index(value)
        if found is None or found < 0:
            raise UsageError(f"{self._who}: {what} is {value!r:.80}, not an integer of 0 or more")
        return found


def _problems(arrival: Arrival) -> Iterator[str]:
    """What is wrong with an arrival, each as NAME IS WHAT."""
    for name, least in _LEAST.items():
        value = getattr(arrival, name)
        found = as_index(value)
        if found is None:
            yield f"{name} is {value!r:.80}, not an integer"
        elif found < least:
            yield f"{name} is {found}, and must be at least {least}"
    if arrival.wanted is not None and not _from_0(arrival.wanted):
        yield f"wanted is {arrival.wanted!r:.80}, neither None nor the index of a rank"
    if not isinstance(arrival.client_id, str):
        yield f"client_id is {arrival.client_id!r:.80}, not text"
    hashes = arrival.block_hashes
    if not isinstance(hashes, tuple):
        yield f"block_hashes is a {type(hashes).__name__}, not a tuple"
    elif not all(map(_from_0, hashes)):
        yield "block_hashes are not all integers of 0 or more"


def _from_0(value: object) -> bool:
    found = as_index(value)
    return found is not None and found >= 0


def _plain(arrival: Arrival) -> Arrival:
    """The arrival with Python's own integers, as the files and messages need them."""
    numbers = {name: getattr(arrival, name) for name in (*_LEAST, "wanted")}
    other: dict[str, Any] = {
        name: as_index(value)
        for name, value in numbers.items()
        if value is not None and type(value) is not int
    }
    if any(type(one) is not int for one in arrival.block_hashes):
        other["block_hashes"] = tuple(map(as_index, arrival.block_hashes))
    return msgspec.structs.replace(arrival, **other) if other else arrival
