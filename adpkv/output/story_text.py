"""A story as text: one line per event, aligned, for a terminal, a pipe or a narrow window."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Final

from adpkv.counting import counted
from adpkv.errors import UsageError
from adpkv.output.folder import RunFolder
from adpkv.output.story import Story, read_stories
from adpkv.output.story_words import words
from adpkv.output.tables import wrapped

__all__ = ["MOST_STORIES", "as_values", "stories", "story_lines"]

MOST_STORIES: Final = 3
MOST_LINES: Final = 40
"""Of one story where it is not the only thing to read: the beginning, and above all the end."""

FIRST_LINES: Final = 12
LEAST_WORDS: Final = 28
"""Columns for the words: with fewer left they get lines of their own."""


def stories(folder: RunFolder, requests: Sequence[int], width: int | None = None) -> list[str]:
    """The stories of the first few requests, each of bounded length, as lines.

    Stories that cannot be read are left out: they are only shown beside something more important.
    """
    found: list[str] = []
    try:
        told = read_stories(folder, requests[:MOST_STORIES])
    except UsageError:
        return found
    for story in told:
        lines = story_lines(story, width)
        if len(lines) > MOST_LINES:
            left = len(lines) - MOST_LINES
            rest = lines[len(lines) - (MOST_LINES - FIRST_LINES) :]
            lines = [*lines[:FIRST_LINES], f"  ... {counted(left, 'line')} left out ...", *rest]
        found += [*lines, ""]
    if len(requests) > MOST_STORIES:
        others = ", ".join(map(str, requests[MOST_STORIES : 4 * MOST_STORIES]))
        more = " and others" if len(requests) > 4 * MOST_STORIES else ""
        found.append(f"also concerned: request {others}{more}")
    return found


def story_lines(story: Story, width: int | None = None) -> list[str]:
    """The story; `width` is that of the window, None where lines may be as long as they are."""
    rows = _rows(story)
    lines = [f"request {story.request}", *_laid_out(rows, width)]
    lines += [*_parts(story), *wrapped(_outcome(story), width, "  ", "  ")]
    if story.wrong is not None:
        event = story.wrong
        where = f"{_time(event.at_ns)} on {story.setting.who(event.rank)}"
        lines += wrapped(f"went wrong at {where}: {words(event, story.setting)}", width, "  ", "  ")
    for place in story.stuck:
        lines += wrapped(f"the job got stuck: {place}", width, "  ", "  ")
    for note in story.damage:
        lines += wrapped(note, width, "  ", "  ")
    return lines


def as_values(story: Story) -> dict[str, Any]:
    """The story for programs."""
    setting, wrong, record = story.setting, story.wrong, story.record
    lines = [
        {
            "at_ns": event.at_ns,
            "rank": event.rank,
            "who": setting.who(event.rank),
            "kind": event.kind,
            "what": words(event, setting),
            "detail": event.detail,
        }
        for event in story.events
    ]
    return {
        "request": story.request,
        "outcome": None if record is None else str(record.outcome),
        "detail": "" if record is None else record.detail,
        "events": lines,
        "parts": [{"name": p.name, "duration_ns": p.duration_ns} for p in story.parts()],
        "wrong": None if wrong is None else lines[story.events.index(wrong)],
        "stuck": list(story.stuck),
        "damage": list(story.damage),
    }


def _rows(story: Story) -> list[tuple[str, str, str, str]]:
    found = []
    before_ns = None
    for event in story.events:
        delta = "" if before_ns is None else f"+{_span(event.at_ns - before_ns)}"
        before_ns = event.at_ns
        who = story.setting.who(event.rank)
        found.append((_time(event.at_ns), delta, who, words(event, story.setting)))
    return found


def _laid_out(rows: Sequence[tuple[str, str, str, str]], width: int | None) -> list[str]:
    times, deltas, whos = (max(len(row[i]) for row in rows) for i in range(3))
    indent = 2 + times + 2 + deltas + 2 + whos + 2
    lines = []
    for at, delta, who, what in rows:
        head = f"  {at:>{times}}  {delta:>{deltas}}  {who:<{whos}}  "
        if width is None:
            lines.append(head + what)
        elif width - indent >= LEAST_WORDS:
            first, *rest = textwrap.wrap(what, width - indent) or [""]
            lines += [head + first, *(" " * indent + line for line in rest)]
        else:
            lines += [
                *wrapped(head.strip(), width, "  ", "  "),
                *wrapped(what, width, "      ", "  "),
            ]
    return lines


def _parts(story: Story) -> list[str]:
    """What took how long; what took no time is left out."""
    told = [
        (part.name, "never ended" if part.duration_ns is None else _span(part.duration_ns))
        for part in story.parts()
        if part.duration_ns != 0
    ]
    names, spans = (max((len(pair[i]) for pair in told), default=0) for i in range(2))
    return [f"  {name:<{names}}  {span:>{spans}}" for name, span in told]


def _outcome(story: Story) -> str:
    record = story.record
    if record is None:
        return "outcome: none, it was never answered"
    took = _span(record.ended_ns - record.arrival_ns)
    why = f", {record.detail}" if record.detail else ""
    tokens = "1 token" if record.tokens == 1 else f"{record.tokens} tokens"
    return f"outcome: {record.outcome} after {took}, {tokens}{why}"


def _time(at_ns: int) -> str:
    return f"{at_ns / 1e9:.6f} s"


def _span(span_ns: int) -> str:
    if span_ns >= 1_000_000_000:
        return f"{span_ns / 1e9:.3f} s"
    return f"{span_ns / 1e6:.3f} ms"
