"""How a table looks where there is little room, and the progress on a terminal."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from adpkv.regressions.catalogue import Scenario, read
from adpkv.regressions.running import Half, ScenarioResult
from adpkv.regressions.seen import Seen
from adpkv.regressions.showing import Progress, show
from tests.regressions.regress_files import write


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    write(tmp_path)
    (found,) = read(tmp_path)
    return found


@pytest.fixture
def terminal() -> Iterator[tuple[int, IO[str]]]:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        yield ours, stream
    os.close(ours)


def resized(descriptor: int, columns: int) -> None:
    import fcntl
    import struct
    import termios

    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))


def printed(terminal: tuple[int, IO[str]]) -> str:
    """All that came out at the far end, without colours."""
    ours, stream = terminal
    stream.close()
    found = b""
    with contextlib.suppress(OSError):  # nothing is left, and nobody can write any more
        while True:
            found += os.read(ours, 1 << 16)
    return re.sub(r"\x1b\[[0-9;]*m", "", found.decode()).replace("\r\n", "\n")


def result(scenario: Scenario, *deviations: str) -> ScenarioResult:
    before = scenario.before("virtual")
    assert before is not None
    held = Half(scenario.regression.after, Seen(), (), 0.25)
    return ScenarioResult(scenario, "virtual", Half(before, Seen(), deviations, 0.5), held)


def test_a_narrow_window_has_every_column(
    scenario: Scenario, terminal: tuple[int, IO[str]]
) -> None:
    ours, stream = terminal
    resized(ours, 60)
    show(stream, [result(scenario)])
    text = printed(terminal)
    assert text.split("\n")[0].split() == ["scenario", "reference", "before", "after", "time"]
    assert "#7" in text
    assert max(map(len, text.split("\n"))) <= 60
    assert "1 of 1 regression held in 0.8 s" in text


def test_without_a_terminal_all_columns_are_there(scenario: Scenario) -> None:
    stream = io.StringIO()
    show(stream, [result(scenario, "this", "that", "another")])
    text = stream.getvalue()
    assert "NOT reproduced: this; and 2 more" in text
    assert "0.8 s" in text
    assert text.endswith("0 of 1 regression held in 0.8 s; not: 1\n")


def test_progress_is_one_line_that_changes_and_goes(
    scenario: Scenario, terminal: tuple[int, IO[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    ours, stream = terminal
    resized(ours, 30)
    progress = Progress(stream, 2)
    progress(1, scenario, "before")
    progress(1, scenario, "after")
    progress.close()
    text = printed(terminal)
    assert text == "\r\x1b[2K1/2  1 one alone: before\r\x1b[2K1/2  1 one alone: after\r\x1b[2K"


def test_progress_without_a_terminal_is_a_line_each(scenario: Scenario) -> None:
    stream = io.StringIO()
    progress = Progress(stream, 2)
    progress(1, scenario, "before")
    progress(1, scenario, "after")
    progress.close()
    assert stream.getvalue() == "1/2  1 one alone\n"


def test_quiet_shows_nothing(scenario: Scenario) -> None:
    stream = io.StringIO()
    progress = Progress(stream, 2, quiet=True)
    progress(1, scenario, "before")
    progress.close()
    assert stream.getvalue() == ""
