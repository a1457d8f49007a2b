"""Progress: a bar on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from adpkv.executor.messages import Pulse, UnhealthyRank
from adpkv.output.progress import (
    LiveProgress,
    PlainProgress,
    QuietProgress,
    progress_for,
    span_text,
)
from adpkv.terminal import Terminal
from tests.output.window import Window

PULSES = {
    0: Pulse(running=3, waiting=1, in_transfer=2, tokens=100),
    1: Pulse(running=4, quarantined=1, tokens=900),
}


class _Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


NAMES = {0: "context-0", 1: "generation-1", 2: "generation-2"}


def _pipe() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=20), out


@pytest.fixture
def window() -> Iterator[Window]:
    with Window(100) as found:
        yield found


def _live(window: Window, clock: _Clock | None = None) -> LiveProgress:
    terminal = Terminal.behind(window.stream)
    assert terminal is not None
    return LiveProgress(terminal, NAMES, clock or _Clock())


def test_the_stream_decides(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(progress_for(io.StringIO(), NAMES, 1.0), PlainProgress)
    assert isinstance(progress_for(window.stream, NAMES, 1.0), LiveProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress_for(window.stream, NAMES, 1.0), PlainProgress)


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = QuietProgress()
    progress.stage("waiting")
    progress.update(1, 2, PULSES)
    progress.close()
    assert capsys.readouterr() == ("", "")


def test_plain_lines_come_at_most_once_an_interval() -> None:
    console, out = _pipe()
    clock = _Clock()
    progress = PlainProgress(console, NAMES, 1.0, clock)
    progress.stage("waiting for 8 ranks in MPI_Init")
    for clock.now_s in (0.0, 0.5, 1.0, 1.5, 1.9, 2.0):
        progress.update(5, 40, PULSES)
    progress.close()
    stage, first, second = out.getvalue().splitlines()
    assert stage == "waiting for 8 ranks in MPI_Init"
    assert first == (
        "5/40 requests · 7 running · 1 waiting · 2 in transfer · 1 quarantined · healthy"
        " · 1,000 tokens/s"
    )
    assert second.endswith("healthy · 0 tokens/s")


def test_in_virtual_time_it_says_what_time_it_is_how_fast_that_goes_and_what_is_left() -> None:
    console, out = _pipe()
    clock = _Clock()
    progress = PlainProgress(console, NAMES, 1.0, clock)
    for clock.now_s, done in ((2.0, 10), (4.0, 30), (5.0, 40)):
        progress.update(done, 400, PULSES, clock.now_s * 50)
    first, second, third = out.getvalue().splitlines()
    assert first.endswith("healthy · 100.0 s of virtual time · 50 s/s · 5 requests/s")
    assert second.endswith("200.0 s of virtual time · 50 s/s · 10 requests/s · 37 s left")
    assert third.endswith("250.0 s of virtual time · 50 s/s · 10 requests/s · 36 s left")


@pytest.mark.parametrize(
    ("seconds", "said"), [(59, "59 s"), (61, "1 min 1 s"), (7_260, "2 h 1 min")]
)
def test_what_is_left_in_units_for_people(seconds: int, said: str) -> None:
    assert span_text(seconds) == said


def test_ill_health_names_its_instances() -> None:
    console, out = _pipe()
    clock = _Clock()
    progress = PlainProgress(console, NAMES, 1.0, clock)
    clock.now_s = 1.0
    sick = Pulse(unhealthy=(UnhealthyRank(7, ("no_progress",)),))
    progress.update(0, 1, {2: sick, 0: sick, 1: Pulse()})
    assert "unhealthy: context-0, generation-2" in out.getvalue()


@pytest.mark.parametrize("width", [20, 40, 100])
def test_the_bar_fits_its_window(window: Window, width: int) -> None:
    window.resize(width)
    progress = _live(window)
    progress.update(40, 40, PULSES)
    shown = window.lines()
    assert "40/40 requests" in shown[0]
    said = " ".join(" ".join(shown[1:]).replace("\N{NO-BREAK SPACE}", " ").split())
    assert "7 running · 1 waiting · 2 in transfer · 1 quarantined · healthy" in said
    progress.close()
    assert window.lines() == []


def test_whatever_is_redrawn_or_said_stands_where_the_bar_was(window: Window) -> None:
    """Also at the bottom of the window, where lines scroll."""
    window.say("before\n" * 23)
    progress = _live(window)
    progress.stage("waiting for 8 ranks in MPI_Init")
    for width in (100, 30, 100):
        window.resize(width)
        progress.update(40, 40, PULSES)
    window.say("somebody else's words that are longer than the bar" + "." * 50 + "\n")
    progress.update(40, 40, PULSES)
    progress.close()
    progress.update(40, 40, PULSES)
    window.say("after\n")
    *before, said, after = window.lines()
    assert set(before) == {"before"}
    assert (said[:8], after) == ("somebody", "after")


def test_the_bar_is_redrawn_only_when_it_is_time_or_at_the_end(window: Window) -> None:
    progress = _live(window)
    progress.update(1, 40, PULSES)
    assert window.heard()
    progress.update(2, 40, PULSES)
    assert not window.heard()
    progress.update(40, 40, PULSES)
    assert window.heard()


def test_who_has_the_last_message_ends_the_progress_of_all(window: Window) -> None:
    progress = _live(window)
    progress.update(1, 40, PULSES)
    other = Terminal.behind(window.stream)
    assert other is not None
    other.take()
    window.say("adpkv: deadlock\n")
    progress.update(40, 40, PULSES)
    progress.stage("all ranks leave")
    progress.close()
    assert window.lines() == ["adpkv: deadlock"]


def test_a_terminal_that_is_halted_or_gone_holds_nobody_up(window: Window) -> None:
    progress = _live(window)
    window.fill()
    progress.update(40, 40, PULSES)
    window.hang_up()
    progress.update(40, 40, PULSES)
    progress.close()


def test_messages_that_a_terminal_cannot_write_are_written_otherwise() -> None:
    with Window(100, encoding="ascii") as window:
        progress = _live(window)
        progress.update(40, 40, PULSES)
        assert "7 running | 1 waiting | 2 in transfer" in window.lines()[1]
