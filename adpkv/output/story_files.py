"""The files of a run as stories read them, damaged ones too: a line that cannot be read is left
out, and noted with its file and number, so that the rest can be told.

Impossible values count as damaged: a rank that the job does not have, a time before it began.
"""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from adpkv.core.ids import COORDINATOR, LAST_NS
from adpkv.core.record import RequestRecord
from adpkv.core.topology import Topology
from adpkv.counting import counted
from adpkv.errors import UsageError
from adpkv.output.folder import RunFolder
from adpkv.output.requests import decode_record
from adpkv.output.story_words import Event, Setting, is_trouble, words

if TYPE_CHECKING:
    from adpkv.config.serving import TopologyConfig

__all__ = ["NOBODYS", "Damage", "RunFiles", "StuckPlace", "read_section", "read_staged",
           "read_topology"]  # fmt: skip

T = TypeVar("T")

MOST_NOTES: Final = 10
"""Damaged lines that are listed; the others are counted."""

PART: Final = ".part"

NOBODYS: Final = -1
"""The request of an event that is no request's."""

_REQUEST: Final = re.compile(rb'"request":(-?\d{1,18})[,}]')
"""A fixed key, so its first occurrence in a line is it."""

_FIXED: Final = ("at_ns", "rank", "kind", "request")

_UNREADABLE: Final = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError,
                      ValueError)  # fmt: skip
"""What decoding raises for values of types or sizes that no run writes."""


class Damage:
    """What of a run's files could not be read, as it is found."""

    def __init__(self) -> None:
        self._notes: dict[str, None] = {}
        self._more = 0

    def note(self, path: Path, number: int | None, why: str) -> None:
        """A line (None: the whole file) is damaged."""
        where = path if number is None else f"{path}:{number}"
        if len(self._notes) < MOST_NOTES:
            self._notes[f"{where}: damaged, left out: {why}"] = None
        else:
            self._more += 1

    def told(self) -> list[str]:
        """A sentence each, the first few."""
        more = [counted(self._more, "more damaged line")] if self._more else []
        return [*self._notes, *more]


class StuckPlace(msgspec.Struct, frozen=True):
    """Where a rank was when the job got stuck."""

    rank: int
    kind: str
    site: str
    iteration: int


class _Deadlock(msgspec.Struct, frozen=True):
    places: list[StuckPlace]


class RunFiles:
    """One run's files, to be read; `damage` grows as they are."""

    def __init__(self, folder: RunFolder, topology: Topology) -> None:
        self.folder, self.topology = folder, topology
        self.damage = Damage()
        self._setting = Setting(topology, {})

    def events(self, wanted: Collection[int] | None) -> Iterator[Event | int]:
        """The events of the wanted requests (None: of all), in order; of the others their number.

        Raises:
            UsageError: there are none.
        """
        folder = self.folder
        paths = [folder.events] if folder.events.exists() else folder.events_parts()
        if not paths:
            raise UsageError(
                f"{folder.path}: there is no events.jsonl; the run was made without events, or"
                " this is no run's folder"
            )
        streams = [self._stamped(path, wanted) for path in paths]
        for _, event in heapq.merge(*streams, key=lambda pair: pair[0]):
            yield event

    def records(self, wanted: Collection[int]) -> dict[int, RequestRecord]:
        """What `requests.jsonl` says of these requests."""
        return {one.request_id: one for one in self.all_records() if one.request_id in wanted}

    def all_records(self) -> Iterator[RequestRecord]:
        """What `requests.jsonl` says, in its order; nothing where there is no such file."""
        if self.folder.requests.exists():
            for number, line in self._lines(self.folder.requests):
                record = self._read(self.folder.requests, number, line, decode_record)
                if record is not None:
                    yield record

    def places(self) -> list[StuckPlace]:
        """Where each rank was, if the job got stuck."""
        path = self.folder.deadlock
        if not path.exists():
            return []
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Deadlock).places
        except (OSError, *_UNREADABLE) as error:
            self.damage.note(path, None, str(error))
            return []

    def _stamped(
        self, path: Path, wanted: Collection[int] | None
    ) -> Iterator[tuple[tuple[int, int], Event | int]]:
        stamp = (0, 0)
        for number, line in self._lines(path):
            found = _REQUEST.search(line)
            if found is None:
                self.damage.note(path, number, "this is no event")
                continue
            request = int(found[1])
            if wanted is not None and request not in wanted:
                yield stamp, request
                continue
            event = self._read(path, number, line, self._event)
            if event is not None:
                stamp = (event.at_ns, event.rank)
                yield stamp, event

    def _lines(self, path: Path) -> Iterator[tuple[int, bytes]]:
        try:
            with path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if line.endswith(b"\n"):
                        yield number, line
                    elif path.suffix != PART:  # the writer of a part was killed in it
                        self.damage.note(path, number, "it is cut off")
        except OSError as error:
            self.damage.note(path, None, error.strerror or str(error))

    def _read(self, path: Path, number: int, line: bytes, decode: Callable[[bytes], T]) -> T | None:
        try:
            return decode(line)
        except _UNREADABLE as error:
            self.damage.note(path, number, str(error) or type(error).__name__)
            return None

    def _event(self, line: bytes) -> Event:
        values = msgspec.json.decode(line, type=dict[str, Any])
        missing = [key for key in _FIXED if key not in values]
        if missing:
            raise ValueError(f"it has no {', '.join(missing)}")
        fixed = {key: values.pop(key) for key in _FIXED}
        event = msgspec.convert({**fixed, "detail": values}, Event)
        if not COORDINATOR <= event.rank < self.topology.ranks:
            raise ValueError(f"there is no rank {event.rank}")
        if not 0 <= event.at_ns <= LAST_NS:
            raise ValueError(f"{event.at_ns} ns is no time of a run")
        _check_numbers(values)
        # Tried here, where the line is known: later it could not be named.
        words(event, self._setting)
        is_trouble(event)
        return event


def _check_numbers(detail: dict[str, Any]) -> None:
    """What a story looks things up by."""
    lost, requests = detail.get("lost", ()), detail.get("requests", ())
    msgspec.convert(lost if isinstance(lost, list | tuple) else [lost], list[int])
    msgspec.convert(requests, list[int])


def read_topology(folder: RunFolder) -> Topology:
    """Which ranks a run has, from its `config.yaml`: no story can be told without it.

    Raises:
        UsageError: it does not say.
    """
    return read_section(folder).build()


def read_section(folder: RunFolder) -> TopologyConfig:
    """The section `topology` of a run's `config.yaml`.

    Raises:
        UsageError: it does not say.
    """
    import yaml

    from adpkv.config.serving import TopologyConfig

    if not os.path.isdir(folder.path):
        raise UsageError(f"{folder.path}: there is no such folder")
    try:
        data = yaml.safe_load(folder.config.read_text(encoding="utf-8"))
        section = TopologyConfig.model_validate(data["topology"])
        section.build()
        return section
    except FileNotFoundError:
        raise UsageError(f"{folder.path}: there is no config.yaml, so this is no run's") from None
    except (OSError, *_UNREADABLE, yaml.YAMLError) as error:
        raise UsageError(f"{folder.config}: this is no run's experiment: {error}") from error


def read_staged(folder: RunFolder) -> bool:
    """Whether a run had staging, from its `config.yaml`; no if it does not say."""
    import yaml

    from adpkv.config.named import NOT_INSTALLED
    from adpkv.config.serving import KvCacheConfig
    from adpkv.config.staging import has_staging
    from adpkv.config.transceiver import TransceiverConfig

    with suppress(OSError, *_UNREADABLE, yaml.YAMLError):
        data = yaml.safe_load(folder.config.read_text(encoding="utf-8"))
        transceiver = TransceiverConfig.model_validate(data["transceiver"], context=NOT_INSTALLED)
        cache = KvCacheConfig.model_validate(data["kv_cache"], context=NOT_INSTALLED)
        return has_staging(transceiver, cache)
    return False
