"""What `adpkv explore` shows: how far it is, then what it found and what it has reached."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from typing import IO, Final

from adpkv.counting import counted
from adpkv.exploration.campaign import LAST_SEED, Campaign
from adpkv.exploration.exhaustive import Walk
from adpkv.exploration.result import Exploration
from adpkv.output.progress import LIVE_INTERVAL_S, drawn, drawn_lines, span_text
from adpkv.output.tables import Table, print_line, width_of, wrapped
from adpkv.terminal import Terminal, console_for

__all__ = ["ExploreProgress", "WalkProgress", "show_exploration", "trouble"]

PLAIN_INTERVAL_S: Final = 5.0
MOST_DETAIL: Final = 500
MOST_TOLD: Final = 3
"""Finds in a line; the rest are counted."""


class ExploreProgress:
    """How far an exploration is: a bar on a terminal, a line now and then elsewhere."""

    def __init__(
        self,
        stream: IO[str],
        *,
        for_s: float | None,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._quiet, self._for_s = clock, quiet, for_s
        self._began_s = self._due_s = clock()
        self._first: int | None = None
        self._console = console_for(stream)
        self._terminal: Terminal | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal and not quiet:
            self._terminal = Terminal.behind(stream)
        if self._terminal is None:
            self._due_s += PLAIN_INTERVAL_S

    def begin(self, campaign: Campaign) -> None:
        """What was done before does not count for the rate."""
        self._first = campaign.seeds

    def __call__(self, campaign: Campaign) -> None:
        """Another batch is done."""
        now_s = self._clock()
        if self._quiet or now_s < self._due_s:
            return
        passed_s = max(now_s - self._began_s, 1e-9)
        rate = (campaign.seeds - (self._first or 0)) / passed_s
        coverage = campaign.coverage
        shares = coverage.shares(is_counted=coverage.observed or not campaign.seeds)
        lines = [shares["receiver_lines"], shares["sender_lines"]]
        reached = f"session lines {sum(s.reached for s in lines)}/{sum(s.of for s in lines)}"
        words = [
            f"{rate:,.0f} seeds/s",
            *([reached] if campaign.coverage.observed else []),  # not counted under a policy
            f"clauses {shares['clauses']}",
            f"faults {shares['faults']}",
            counted(len(campaign.finds), "find") if campaign.finds else "no find",
        ]
        share, left_s, total = self._left(campaign, passed_s, rate)
        if left_s is not None:
            words.append(f"{span_text(round(left_s))} left")
        said = f"{campaign.seeds:,}{total} seeds"
        if self._terminal is None:
            self._due_s = now_s + PLAIN_INTERVAL_S
            print_line(self._console, " · ".join([said, *words]))
            return
        self._due_s = now_s + LIVE_INTERVAL_S
        picture = drawn(said, share, words, "red" if campaign.finds else "dim")
        self._terminal.show(drawn_lines(picture, self._terminal))

    def _left(
        self, campaign: Campaign, passed_s: float, rate: float
    ) -> tuple[float, float | None, str]:
        if self._for_s is not None:
            return min(passed_s / self._for_s, 1.0), max(self._for_s - passed_s, 0.0), ""
        plan = campaign.plan
        if plan.last == LAST_SEED:
            return 0.0, None, ""
        count = plan.last - plan.first
        left = count - campaign.seeds
        return campaign.seeds / count, left / rate if rate else None, f"/{count:,}"

    def note(self, text: str) -> None:
        """Say what takes a while now."""
        if self._quiet:
            return
        if self._terminal is None:
            print_line(self._console, text)
        else:
            self._terminal.show([text[: max(1, self._terminal.columns - 1)]])

    def close(self) -> None:
        """Take the bar away."""
        if self._terminal is not None:
            self._terminal.clear()


class WalkProgress:
    """How far an exhaustive walk is: a line that changes on a terminal, one now and then else."""

    def __init__(
        self, stream: IO[str], *, quiet: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock, self._quiet, self._console = clock, quiet, console_for(stream)
        self._terminal: Terminal | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal and not quiet:
            self._terminal = Terminal.behind(stream)
        self._due_s = clock() + (0 if self._terminal else PLAIN_INTERVAL_S)

    def __call__(self, walked: Walk) -> None:
        """Another path was walked."""
        now_s = self._clock()
        if self._quiet or now_s < self._due_s:
            return
        said = (
            f"{walked.paths:,} paths · {len(walked.states):,} states · {walked.cut_off:,} cut off"
            f" · {counted(len(walked.finds), 'find')}"
        )
        if self._terminal is None:
            self._due_s = now_s + PLAIN_INTERVAL_S
            print_line(self._console, said)
        else:
            self._due_s = now_s + LIVE_INTERVAL_S
            self._terminal.show([said[: max(1, self._terminal.columns - 1)]])

    def close(self) -> None:
        """Take the line away."""
        if self._terminal is not None:
            self._terminal.clear()


def _conclusion(found: Exploration, how: str = "") -> str:
    finds = counted(len(found.finds), "find") if found.finds else "no find"
    return (
        f"{found.outcome}: {counted(found.seeds, 'path' if found.walk else 'seed')}{how}, {finds}"
    )


def trouble(found: Exploration) -> str:
    """What is wrong, in a line: the first finds, and where the files are."""
    told = [one.signature for one in found.finds[:MOST_TOLD]]
    if len(found.finds) > MOST_TOLD:
        told.append(f"{len(found.finds) - MOST_TOLD} more")
    if found.differed:
        told.append(f"not deterministic: seed {', '.join(map(str, found.differed))}")
    said = f"{_conclusion(found)}: {', '.join(told)}" if told else _conclusion(found)
    return said if found.folder is None else f"{said}; files: {found.folder}"


def show_exploration(stream: IO[str], found: Exploration) -> None:
    """The finds, what was reached, and where the files are."""
    console = console_for(stream)
    columns = width_of(console)
    for one in found.finds:
        title = f"{one.signature}: {counted(one.count, 'seed')}, the first {one.seed}"
        print_line(console, title, "bold red")
        for said in one.detail.split("\n")[: 2 if one.stuck else 1]:
            for line in wrapped(said[:MOST_DETAIL], columns, "  ", "  "):
                print_line(console, line)
        faults = ", ".join(one.faults) or "no fault"
        least = (
            f"shrunk to {counted(one.ranks, 'rank')}, {counted(one.requests, 'request')}, {faults},"
            f" {counted(one.choices, 'choice')} of the schedule ({counted(one.tries, 'run')})"
        )
        for line in wrapped(least, columns, "  ", "  "):
            print_line(console, line)
        where = one.token if one.file is None else shlex.quote(str(one.file))
        print_line(console, f"  adpkv replay {where}")
    Table(("reached", ""), [list(pair) for pair in found.shares().items()]).show(console)
    if found.bound is not None:
        print_line(
            console,
            f"{found.strategy}: a run finds a bug of that depth with at least {found.bound:.2g}",
        )
    for name, value in found.walk.items():
        print_line(console, f"{name.replace('_', ' ')}: {value}")
    if len(found.memory_kib) > 1:
        (first, began_kib), *_, (last, kib) = found.memory_kib.items()
        grown = f"{began_kib / 1024:.0f} MiB from {first:,} seeds on"
        print_line(console, f"memory of a worker: {grown}, {kib / 1024:.0f} MiB from {last:,} on")
    if found.differed:
        seeds = ", ".join(map(str, found.differed))
        print_line(console, f"not deterministic: the two runs of seed {seeds} differ", "bold red")
    checked = f", {found.twice} of them twice" if found.twice else ""
    rate = f", {found.seeds_per_s:,.0f} a second" if found.seeds > found.earlier else ""
    for line in wrapped(_conclusion(found, f"{checked}{rate}"), columns):
        print_line(console, line)
    if found.folder is not None:
        # No line is so long that the terminal breaks a path.
        files = f"{found.folder}/explore.json, {found.folder}/coverage.html"
        for line in wrapped(files, columns):
            print_line(console, line)
