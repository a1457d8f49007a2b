"""Progress: a bar on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from adpkv.executor.messages import Ill, Pulse
from adpkv.observe.progress import LiveProgress, PlainProgress, QuietProgress, progress_for

PULSES = {
    0: Pulse(running=3, waiting=1, in_transfer=2, tokens=100),
    1: Pulse(running=4, quarantined=1, tokens=900),
}


class _Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _console(*, terminal: bool, width: int = 100) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=terminal, width=width, _environ={"TERM": "xterm"}, highlight=False
    )
    return console, out


def test_the_console_decides() -> None:
    terminal, _ = _console(terminal=True)
    pipe, _ = _console(terminal=False)
    assert isinstance(progress_for(pipe, 1.0), PlainProgress)
    live = progress_for(terminal, 1.0)
    live.close()
    assert isinstance(live, LiveProgress)


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = QuietProgress()
    progress.update(1, 2, PULSES)
    progress.close()
    assert capsys.readouterr() == ("", "")


def test_plain_lines_come_at_most_once_an_interval() -> None:
    console, out = _console(terminal=False, width=20)
    clock = _Clock()
    progress = PlainProgress(console, 1.0, clock)
    for clock.now_s in (0.0, 0.5, 1.0, 1.5, 1.9, 2.0):
        progress.update(5, 40, PULSES)
    progress.close()
    first, second = out.getvalue().splitlines()
    assert first == (
        "5/40 requests · 7 running · 1 waiting · 2 in transfer · 1 quarantined · healthy"
        " · 1,000 tokens/s"
    )
    assert second.endswith("healthy · 0 tokens/s")


def test_ill_health_names_its_instances() -> None:
    console, out = _console(terminal=False)
    clock = _Clock()
    progress = PlainProgress(console, 1.0, clock)
    clock.now_s = 1.0
    sick = Pulse(ill=(Ill(7, ("no_progress",)),))
    progress.update(0, 1, {2: sick, 0: sick, 1: Pulse()})
    assert "unhealthy: instance 0, 2" in out.getvalue()


@pytest.mark.parametrize("width", [20, 40, 100])
def test_the_bar_fits_its_window(width: int) -> None:
    console, out = _console(terminal=True, width=width)
    progress = LiveProgress(console, _Clock())
    progress.update(40, 40, PULSES)
    plain = Console(file=io.StringIO(), width=width)
    with plain.capture() as captured:
        plain.print(progress._live.renderable)
    progress.close()
    lines = captured.get().splitlines()
    assert all(len(line) <= width for line in lines)
    assert "40/40 requests" in lines[0]
    said = " ".join(" ".join(lines[1:]).replace("\N{NO-BREAK SPACE}", " ").split())
    assert "7 running · 1 waiting · 2 in transfer · 1 quarantined · healthy" in said
    assert out.getvalue()


def test_the_bar_is_redrawn_only_when_it_is_time_or_at_the_end() -> None:
    console, out = _console(terminal=True)
    clock = _Clock()
    progress = LiveProgress(console, clock)
    progress.update(1, 40, PULSES)
    drawn = len(out.getvalue())
    progress.update(2, 40, PULSES)
    assert len(out.getvalue()) == drawn
    progress.update(40, 40, PULSES)
    assert len(out.getvalue()) > drawn
    progress.close()
