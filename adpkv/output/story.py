"""The story of one request: what happened to it, on all ranks, from the files of a run.

Reads `events.jsonl` (or the parts of ranks that never got to merge them) once for any number of
requests. A story also has what concerned its ranks while it was open: health, stops, faults; and
the violations that name it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from adpkv.core.ids import COORDINATOR, NEVER
from adpkv.core.record import RequestRecord
from adpkv.core.topology import Kind
from adpkv.errors import UsageError
from adpkv.output.figures import COLUMN_TITLES
from adpkv.output.folder import RunFolder
from adpkv.output.story_files import NOBODYS, RunFiles, StuckPlace, read_staged, read_topology
from adpkv.output.story_words import Event, Setting, is_trouble

__all__ = ["Part", "Story", "concerned", "last_open", "read_stories"]


class Part(msgspec.Struct, frozen=True):
    """How long one part of a request's life took; `duration_ns` is None if it never ended."""

    name: str
    duration_ns: int | None


class Story(msgspec.Struct, frozen=True):
    """All that is known of one request, in order of time."""

    request: int
    setting: Setting
    events: tuple[Event, ...]
    record: RequestRecord | None
    """None if it was never answered."""
    stuck: tuple[str, ...] = ()
    """In which collectives its ranks were when the job got stuck."""
    damage: tuple[str, ...] = ()
    """What of the run's files could not be read, and so may be missing here."""

    @property
    def wrong(self) -> Event | None:
        """Where it went wrong, if it did."""
        return next(filter(is_trouble, self.events), None)

    def parts(self) -> list[Part]:
        """How long each part took, in order. Of an answered request these are the columns, which
        add up to all of its time; of another one, what its last attempt's events show."""
        if self.record is not None:
            columns = zip(COLUMN_TITLES.values(), self.record.columns(), strict=True)
            whole = Part(_ALL, self.record.ended_ns - self.record.arrival_ns)
            return [*(Part(*column) for column in columns), *self._seen(_AFTERWARDS, -1), whole]
        attempts = [e for e in self.events if e.kind == "recomputed" and e.request == self.request]
        begun_ns = attempts[-1].at_ns if attempts else -1
        found = []
        if attempts:
            found.append(Part("until it was begun again", begun_ns - self.events[0].at_ns))
        return [*found, *self._seen((*_PARTS, *_AFTERWARDS, _WHOLE), begun_ns)]

    def _seen(self, parts: Sequence[_Marks], from_ns: int) -> Iterator[Part]:
        for name, begin, end in parts:
            since = self._first(begin, -1 if name is _ALL else from_ns)
            if since is not None:
                until = self._first(end, since.at_ns, after=since)
                yield Part(name, None if until is None else until.at_ns - since.at_ns)

    def _first(self, mark: _Mark, from_ns: int, after: Event | None = None) -> Event | None:
        side, kinds = mark
        for event in self.events:
            if event is after or event.at_ns < from_ns or event.kind not in kinds:
                continue
            if event.request == self.request and self.setting.side(event.rank) is side:
                return event
        return None


_Mark = tuple[Kind | None, tuple[str, ...]]
_CONTEXT, _GENERATION = Kind.CONTEXT, Kind.GENERATION
_OVER = ("complete", "failed", "cancelled", "timed_out", "quarantined", "responded")
_ALL: Final = "in all"
_Marks = tuple[str, _Mark, _Mark]
# A request without an answer has no columns: these parts come near to them, under their names.
_PARTS: Final[Sequence[_Marks]] = (
    ("coordinator queue", (None, ("arrived", "recomputed")), (None, ("routed", "ended"))),
    ("context queue", (None, ("routed",)), (_CONTEXT, ("prefill_began", "refused", *_OVER))),
    ("prefill", (_CONTEXT, ("prefill_began",)), (_CONTEXT, _OVER)),
    ("hand-over", (_CONTEXT, ("responded",)), (_GENERATION, ("assigned", "refused"))),
    (COLUMN_TITLES["block_wait"], (_GENERATION, ("assigned",)), (_GENERATION, ("queued", *_OVER))),
    ("slot wait", (_GENERATION, ("queued",)), (_GENERATION, ("advertised", *_OVER))),
    ("KV transfer", (_GENERATION, ("advertised",)), (_GENERATION, _OVER)),
    ("decode", (_GENERATION, ("complete",)), (_GENERATION, ("responded",))),
)
_AFTERWARDS: Final[Sequence[_Marks]] = (
    ("in doubt at the receiver", (_GENERATION, ("quarantined",)), (_GENERATION, ("released",))),
    ("in doubt at the sender", (_CONTEXT, ("quarantined",)), (_CONTEXT, ("released",))),
)
_WHOLE: Final[_Marks] = (_ALL, (None, ("arrived",)), (None, ("ended",)))


def read_stories(folder: RunFolder, requests: Sequence[int]) -> list[Story]:
    """The stories of these requests, in the order asked.

    Raises:
        UsageError: the folder holds no run with events, or a request is not in it.
    """
    files = RunFiles(folder, read_topology(folder))
    wanted = set(requests)
    own: dict[int, list[Event]] = {request: [] for request in requests}
    common: list[Event] = []
    known = -1
    for event in files.events(wanted | {NOBODYS}):
        if isinstance(event, int):
            known = max(known, event)
        elif event.request == NOBODYS:
            common.append(event)
            for request in wanted.intersection(event.detail.get("requests", ())):
                own[request].append(event)
        else:
            own[event.request].append(event)
            known = max(known, event.request)
    for request in requests:
        if not any(event.request == request for event in own[request]):
            there = f"its requests are 0 to {known}" if known >= 0 else "it has no requests"
            said = f"{folder.path}: there is no request {request}; {there}"
            raise UsageError("\n".join([said, *files.damage.told()]))
    records, places = files.records(wanted), files.places()
    damage = tuple(files.damage.told())
    setting = Setting(files.topology, {}, read_staged(folder))
    return [
        _story(request, own[request], common, setting, records.get(request), places, damage)
        for request in requests
    ]


def concerned(folder: RunFolder) -> list[int]:
    """The requests that the run's violations name, in order of the violations."""
    found: dict[int, None] = {}
    for event in RunFiles(folder, read_topology(folder)).events({NOBODYS}):
        if isinstance(event, Event) and event.kind == "violation":
            found.update(dict.fromkeys(event.detail.get("requests", ())))
    return list(found)


def last_open(folder: RunFolder, ranks: Collection[int]) -> list[int]:
    """The requests that were not over at the end, on these ranks (none: anywhere); those that
    something happened to last come first."""
    last: dict[int, int] = {}
    files = RunFiles(folder, read_topology(folder))
    for place, event in enumerate(files.events(None)):
        if not isinstance(event, Event) or event.request == NOBODYS:
            continue
        if event.kind == "ended":
            last.pop(event.request, None)
        elif not ranks or event.rank in ranks or event.request in last:
            last[event.request] = place
    return sorted(last, key=lambda request: -last[request])


def _story(
    request: int,
    own: list[Event],
    common: Iterable[Event],
    setting: Setting,
    record: RequestRecord | None,
    places: Sequence[StuckPlace],
    damage: tuple[str, ...],
) -> Story:
    ranks = {event.rank for event in own if event.rank != COORDINATOR}
    given = sorted({event.rank for event in own if event.kind == "assigned"})
    servers = {kind: tuple(rank for rank in given if setting.side(rank) is kind) for kind in Kind}
    began_ns, over_ns = own[0].at_ns, own[-1].at_ns
    doubtful = sum((e.kind == "quarantined") - (e.kind == "released") for e in own)
    if record is None or doubtful > 0:
        over_ns = NEVER  # it is not over: nobody knows what would still have happened
    told = set(map(id, own))
    beside = [
        event
        for event in common
        if id(event) not in told
        and _concerns(event, ranks)
        and event.kind != "violation"
        and began_ns <= event.at_ns <= over_ns
    ]
    events = sorted([*own, *beside], key=lambda event: event.at_ns)
    stuck = tuple(
        f"rank {place.rank} was in {place.kind} at {place.site}, iteration {place.iteration}"
        for place in places
        if place.rank in ranks
    )
    setting = msgspec.structs.replace(setting, servers=servers)
    return Story(request, setting, tuple(events), record, stuck, damage)


def _concerns(event: Event, ranks: set[int]) -> bool:
    """Is it an event of one of these ranks, or about its failure? A recovery names all who
    failed."""
    lost = event.detail.get("lost", ())
    return event.rank in ranks or not ranks.isdisjoint(lost if isinstance(lost, list) else [lost])
