"""Live progress of a run for a person who looks on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Final, Protocol

from adpkv.executor.messages import Pulse
from adpkv.output.tables import print_line
from adpkv.streams import PLAIN
from adpkv.terminal import Console, Terminal, console_for

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = [
    "LIVE_INTERVAL_S",
    "LiveProgress",
    "PlainProgress",
    "Progress",
    "QuietProgress",
    "drawn",
    "drawn_lines",
    "progress_for",
    "span_text",
]

LIVE_INTERVAL_S: Final = 0.125
"""A terminal is redrawn at most so often: enough to look alive, too little to cost."""

BAR_CELLS: Final = 40
MINUTE_S: Final = 60
HOUR_S: Final = 3600


class Progress(Protocol):
    """Shows how far the run is. It may be updated at any rate: it decides when to show that."""

    def stage(self, what: str) -> None:
        """What is waited for while no requests are served."""
        ...

    def update(
        self, done: int, total: int, pulses: Mapping[int, Pulse], virtual_s: float | None = None
    ) -> None:
        """`done` of `total` requests have their answer; the last pulse of each instance; what time
        it is in virtual time, where that runs."""
        ...

    def close(self) -> None:
        """The run is over, and other text follows on the screen: no later update is shown."""
        ...


def progress_for(stream: IO[str], names: Mapping[int, str], interval_s: float) -> Progress:
    """The kind of progress that suits `stream`; `names` are the instances', `interval_s` is between
    plain lines."""
    console = console_for(stream)
    if console.is_terminal and not console.is_dumb_terminal:
        terminal = Terminal.behind(stream)
        if terminal is not None:
            return LiveProgress(terminal, names)
    return PlainProgress(console, names, interval_s)


class QuietProgress:
    """Shows nothing."""

    def stage(self, what: str) -> None:
        """Look away."""

    def update(
        self, done: int, total: int, pulses: Mapping[int, Pulse], virtual_s: float | None = None
    ) -> None:
        """Look away."""

    def close(self) -> None:
        """Nothing was shown."""


class _Words:
    """The state of the run in words, with rates since the last time."""

    def __init__(self, names: Mapping[int, str], clock: Callable[[], float]) -> None:
        self._names, self._clock = names, clock
        self._began_s = self._last_s = clock()
        self._first_done: int | None = None
        self._tokens = self._done = 0
        self._virtual_s = 0.0

    def told(
        self, done: int, total: int, pulses: Mapping[int, Pulse], virtual_s: float | None
    ) -> list[str]:
        """Load, health and speed; in virtual time also what time it is, and when it ends."""
        now_s, tokens = self._clock(), sum(pulse.tokens for pulse in pulses.values())
        passed_s = now_s - self._last_s
        if self._first_done is None:
            self._first_done, self._began_s = done, now_s
        words = [*_load(pulses.values()), self._health(pulses)]
        if virtual_s is None:
            words.append(f"{_rate(tokens - self._tokens, passed_s):,.0f} tokens/s")
        else:
            speed = _rate(virtual_s - self._virtual_s, passed_s)
            words.append(f"{virtual_s:,.1f} s of virtual time")
            words.append(f"{speed:,.{0 if speed >= 10 else 1}f} s/s")
            words.append(f"{_rate(done - self._done, passed_s):,.0f} requests/s")
            words += self._left(done, total, now_s)
            self._virtual_s = virtual_s
        self._last_s, self._tokens, self._done = now_s, tokens, done
        return words

    def _health(self, pulses: Mapping[int, Pulse]) -> str:
        sick = [
            self._names.get(index, f"instance {index}")
            for index, pulse in sorted(pulses.items())
            if not pulse.healthy
        ]
        told = f"unhealthy: {', '.join(sick)}" if sick else "healthy"
        avoided = sum(pulse.avoided for pulse in pulses.values())
        return f"{told}, {avoided} avoided" if avoided else told

    def _left(self, done: int, total: int, now_s: float) -> list[str]:
        """The time that is left, by the speed so far: empty where none is done yet, or all are."""
        served = done - (self._first_done or 0)
        if served <= 0 or done >= total:
            return []
        return [f"{span_text(round((now_s - self._began_s) * (total - done) / served))} left"]


def _rate(made: float, passed_s: float) -> float:
    return max(0.0, made / passed_s) if passed_s > 0 else 0.0


def span_text(seconds: int) -> str:
    """How long, for people."""
    if seconds < MINUTE_S:
        return f"{seconds} s"
    if seconds < HOUR_S:
        return f"{seconds // MINUTE_S} min {seconds % MINUTE_S} s"
    return f"{seconds // HOUR_S} h {seconds % HOUR_S // MINUTE_S} min"


def _load(pulses: Iterable[Pulse]) -> list[str]:
    every = list(pulses)
    return [
        f"{sum(p.running for p in every)} running",
        f"{sum(p.waiting for p in every)} waiting",
        f"{sum(p.in_transfer for p in every)} in transfer",
        f"{sum(p.quarantined for p in every)} quarantined",
    ]


class PlainProgress:
    """One line now and then, for logs: at most one every `interval_s`, and one for each stage."""

    def __init__(
        self,
        console: Console,
        names: Mapping[int, str],
        interval_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console, self._interval_s, self._clock = console, interval_s, clock
        self._due_s = clock() + interval_s
        self._words = _Words(names, clock)

    def stage(self, what: str) -> None:
        """Print it."""
        self._print(what)

    def update(
        self, done: int, total: int, pulses: Mapping[int, Pulse], virtual_s: float | None = None
    ) -> None:
        """Print a line if one is due."""
        now_s = self._clock()
        if now_s < self._due_s:
            return
        self._due_s = now_s + self._interval_s
        words = self._words.told(done, total, pulses, virtual_s)
        self._print(" · ".join([f"{done}/{total} requests", *words]))

    def _print(self, text: str) -> None:
        print_line(self._console, text)

    def close(self) -> None:
        """Lines need no end."""


class LiveProgress:
    """A bar and the state of the run, redrawn in place and removed at the end. Several threads may
    update it."""

    def __init__(
        self,
        terminal: Terminal,
        names: Mapping[int, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terminal, self._clock = terminal, clock
        self._due_s = clock()
        self._words = _Words(names, clock)
        self._lock = threading.Lock()
        self._over = False

    def stage(self, what: str) -> None:
        """Show it instead of the bar."""
        from rich.text import Text

        with self._lock:
            self._show(Text(what, style="dim"))

    def update(
        self, done: int, total: int, pulses: Mapping[int, Pulse], virtual_s: float | None = None
    ) -> None:
        """Redraw if it is time, and at the end in any case."""
        with self._lock:
            now_s = self._clock()
            if self._over or (now_s < self._due_s and done < total):
                return
            self._due_s = now_s + LIVE_INTERVAL_S
            words = self._words.told(done, total, pulses, virtual_s)
            well = all(pulse.healthy for pulse in pulses.values())
            self._show(
                drawn(
                    f"{done}/{total} requests",
                    done / max(total, 1),
                    words,
                    "dim" if well else "red",
                )
            )

    def _show(self, picture: RenderableType) -> None:
        if not self._over:
            # False: the reason why the job ends is on the screen already.
            self._over = not self._terminal.show(drawn_lines(picture, self._terminal))

    def close(self) -> None:
        """Take the bar away."""
        with self._lock:
            if not self._over:
                self._over = True
                self._terminal.clear()


def drawn_lines(picture: RenderableType, terminal: Terminal) -> list[str]:
    """As the terminal takes it as it is now. It must not break a line itself, as the number of
    lines is how the cursor finds back."""
    from rich.console import Console as RichConsole

    told = io.BytesIO()
    out = io.TextIOWrapper(told, encoding=terminal.encoding, errors=PLAIN)
    width = max(1, terminal.columns - 1)
    RichConsole(file=out, force_terminal=True, width=width, highlight=False).print(picture)
    out.flush()
    return told.getvalue().decode(terminal.encoding).splitlines()


def drawn(said: str, share: float, words: Sequence[str], style: str) -> RenderableType:
    """A bar with what is said beside it, and words below."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 1))
    head.add_column(max_width=BAR_CELLS)
    head.add_column(no_wrap=True)
    head.add_row(ProgressBar(total=1.0, completed=share), said)
    # A narrow window breaks between the figures, never inside one.
    unbroken = [word.replace(" ", "\N{NO-BREAK SPACE}") for word in words]
    return Group(head, Text(" · ".join(unbroken), style=style))
