"""How far a sweep is, and how long it will take."""

from __future__ import annotations

import io

import pytest

from adpkv.sweeps.showing import SweepProgress
from tests.output.window import Window


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_pipe_gets_a_line_now_and_then_with_the_time_left() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = SweepProgress(stream, clock=clock)
    for second in range(21):
        clock.now_s = 100.0 + second
        progress(10 + second, 110, 2, second // 10)
    progress.close()
    assert stream.getvalue().splitlines() == [
        "15/110 runs · 2 under way · 1.0 runs/s · 1 min 35 s left",
        "20/110 runs · 2 under way · 1 failed · 1.0 runs/s · 1 min 30 s left",
        "25/110 runs · 2 under way · 1 failed · 1.0 runs/s · 1 min 25 s left",
        "30/110 runs · 2 under way · 2 failed · 1.0 runs/s · 1 min 20 s left",
    ]


def test_what_a_resumed_sweep_had_does_not_make_it_faster() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = SweepProgress(stream, clock=clock)
    progress(90, 100, 1, 0)
    clock.now_s += 60
    progress(91, 100, 1, 0)
    assert stream.getvalue() == "91/100 runs · 1 under way · 60 s a run · 9 min 0 s left\n"


@pytest.mark.parametrize("columns", [60, 160])
def test_a_window_has_a_bar_that_goes_away(columns: int) -> None:
    clock = Clock()
    with Window(columns) as window:
        progress = SweepProgress(window.stream, clock=clock)
        progress(0, 8, 2, 0)
        clock.now_s += 10
        progress(2, 8, 2, 0)
        said = " ".join(" ".join(window.lines()).split())
        assert "2/8 runs" in said
        assert "30 s left" in said
        progress.close()
        assert window.lines() == []


def test_quiet_says_nothing() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = SweepProgress(stream, quiet=True, clock=clock)
    clock.now_s += 60
    progress(1, 2, 1, 0)
    assert stream.getvalue() == ""
