"""Live progress of a run for a person who looks on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from adpkv.executor.messages import Pulse

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["LiveProgress", "PlainProgress", "Progress", "QuietProgress", "progress_for"]

LIVE_INTERVAL_S: Final = 0.125
"""A terminal is redrawn at most so often: enough to look alive, too little to cost."""

BAR_CELLS: Final = 40


class Progress(Protocol):
    """Is told how far the run is, as often as anybody likes; shows it as often as is good."""

    def update(self, done: int, total: int, pulses: Mapping[int, Pulse]) -> None:
        """`done` of `total` requests have their answer; the last pulse of each instance."""
        ...

    def close(self) -> None:
        """The run is over; what follows on the screen is not progress."""
        ...


def progress_for(console: Console, interval_s: float) -> Progress:
    """The kind of progress that suits `console`; `interval_s` is between plain lines."""
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveProgress(console)
    return PlainProgress(console, interval_s)


class QuietProgress:
    """Shows nothing."""

    def update(self, done: int, total: int, pulses: Mapping[int, Pulse]) -> None:
        """Look away."""

    def close(self) -> None:
        """Nothing was shown."""


class _Rate:
    """Tokens per second between two looks."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last_s = clock()
        self._last_tokens = 0

    def since_last(self, pulses: Iterable[Pulse]) -> float:
        """Tokens that all instances made since the last call, per second of real time."""
        now_s, tokens = self._clock(), sum(pulse.tokens for pulse in pulses)
        passed_s, made = now_s - self._last_s, tokens - self._last_tokens
        self._last_s, self._last_tokens = now_s, tokens
        return max(0.0, made / passed_s) if passed_s > 0 else 0.0


class PlainProgress:
    """One line now and then, for logs: at most one every `interval_s`."""

    def __init__(
        self, console: Console, interval_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console, self._interval_s, self._clock = console, interval_s, clock
        self._due_s = clock() + interval_s
        self._rate = _Rate(clock)

    def update(self, done: int, total: int, pulses: Mapping[int, Pulse]) -> None:
        """Print a line if one is due."""
        now_s = self._clock()
        if now_s < self._due_s:
            return
        self._due_s = now_s + self._interval_s
        said = " · ".join([f"{done}/{total} requests", *_words(pulses, self._rate)])
        self._console.print(said, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Lines need no end."""


class LiveProgress:
    """A bar and what goes on, redrawn in place and gone at the end."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.live import Live

        self._clock = clock
        self._due_s = clock()
        self._rate = _Rate(clock)
        # No refresh thread: rank 0's interpreter is busy with its executor.
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def update(self, done: int, total: int, pulses: Mapping[int, Pulse]) -> None:
        """Redraw if it is time, and at the end in any case."""
        now_s = self._clock()
        if now_s < self._due_s and done < total:
            return
        self._due_s = now_s + LIVE_INTERVAL_S
        self._live.update(_drawn(done, total, pulses, self._rate), refresh=True)

    def close(self) -> None:
        """Take the bar away."""
        self._live.stop()


def _words(pulses: Mapping[int, Pulse], rate: _Rate) -> list[str]:
    every = pulses.values()
    sick = [str(index) for index, pulse in sorted(pulses.items()) if not pulse.healthy]
    return [
        f"{sum(p.running for p in every)} running",
        f"{sum(p.waiting for p in every)} waiting",
        f"{sum(p.in_transfer for p in every)} in transfer",
        f"{sum(p.quarantined for p in every)} quarantined",
        f"unhealthy: instance {', '.join(sick)}" if sick else "healthy",
        f"{rate.since_last(every):,.0f} tokens/s",
    ]


def _drawn(done: int, total: int, pulses: Mapping[int, Pulse], rate: _Rate) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 1))
    head.add_column(max_width=BAR_CELLS)
    head.add_column(no_wrap=True)
    head.add_row(ProgressBar(total=total, completed=done), f"{done}/{total} requests")
    # A narrow window breaks between the figures, never inside one.
    unbroken = [word.replace(" ", "\N{NO-BREAK SPACE}") for word in _words(pulses, rate)]
    style = "red" if any(not pulse.healthy for pulse in pulses.values()) else "dim"
    return Group(head, Text(" · ".join(unbroken), style=style))
