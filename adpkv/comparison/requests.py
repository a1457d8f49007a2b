"""Which requests ended differently on two sides, and where their stories part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adpkv.config import load
from adpkv.core.record import RequestRecord
from adpkv.errors import UsageError
from adpkv.output.folder import RunFolder
from adpkv.output.story import Story, read_stories
from adpkv.output.story_files import RunFiles
from adpkv.output.story_words import Event, words

__all__ = ["Change", "Parting", "RequestChanges", "changes", "partings"]

NS_PER_S: Final = 1e9


@dataclass(frozen=True, slots=True)
class Change:
    """A request whose outcome is another one on the other side."""

    request: int
    before: str
    after: str
    detail: str
    """What its client was told on the other side."""


@dataclass(frozen=True, slots=True)
class RequestChanges:
    """What became of the requests of two runs with one seed."""

    seed: int
    first: Path
    other: Path
    matched: int
    """How many requests are the same in both: number and lengths."""
    changed: tuple[Change, ...]
    unmatched: int = 0
    """Requests of either run that the other has not, or not with these lengths."""


@dataclass(frozen=True, slots=True)
class Parting:
    """Where the stories of one request part: the last thing that they share, and what follows on
    each side; None where nothing does."""

    request: int
    shared: str | None
    first: str | None
    other: str | None


def changes(seed: int, first: Path, other: Path) -> RequestChanges:
    """Compare two runs request by request.

    Raises:
        UsageError: one of them is no run's folder.
    """
    mine, theirs = _records(first), _records(other)
    found, matched = [], 0
    for request, record in sorted(mine.items()):
        also = theirs.get(request)
        if also is None or _lengths(also) != _lengths(record):
            continue
        matched += 1
        if also.outcome is not record.outcome:
            detail = also.detail or record.detail
            found.append(Change(request, record.outcome.value, also.outcome.value, detail))
    unmatched = len(mine) + len(theirs) - 2 * matched
    return RequestChanges(seed, first, other, matched, tuple(found), unmatched)


def _records(path: Path) -> dict[int, RequestRecord]:
    folder = RunFolder(path)
    topology = load(folder.config, installed=False).topology.build()
    return {record.request_id: record for record in RunFiles(folder, topology).all_records()}


def _lengths(record: RequestRecord) -> tuple[int, int]:
    return record.prompt_tokens, record.output_tokens


def partings(found: RequestChanges, most: int) -> list[Parting]:
    """Where the stories of the first few changed requests part; empty for runs without events."""
    requests = [change.request for change in found.changed[:most]]
    if not requests:
        return []
    try:
        mine = read_stories(RunFolder(found.first), requests)
        theirs = read_stories(RunFolder(found.other), requests)
    except UsageError:
        return []
    return [_parting(one, other) for one, other in zip(mine, theirs, strict=True)]


def _parting(mine: Story, theirs: Story) -> Parting:
    left, right = list(_own(mine)), list(_own(theirs))
    at = 0
    while at < min(len(left), len(right)) and _what(left[at], mine) == _what(right[at], theirs):
        at += 1
    return Parting(
        mine.request,
        _told(left[at - 1], mine) if at else None,
        _told(left[at], mine) if at < len(left) else None,
        _told(right[at], theirs) if at < len(right) else None,
    )


def _own(story: Story) -> Iterator[Event]:
    """What happened to the request itself, and what went wrong around it."""
    return (event for event in story.events if event.request == story.request)


def _what(event: Event, story: Story) -> tuple[object, ...]:
    return event.kind, event.rank, words(event, story.setting)


def _told(event: Event, story: Story) -> str:
    where = f"{event.at_ns / NS_PER_S:.6f} s, {story.setting.who(event.rank)}"
    return f"{where}: {words(event, story.setting)}"
