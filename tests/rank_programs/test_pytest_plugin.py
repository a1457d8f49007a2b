"""The plugin as users have it: in a pytest of its own, over `suite/cases.py`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

CASES = Path(__file__).parent / "suite" / "cases.py"

FAILED = {"test_race", "test_stuck", "test_does_not_raise", "test_no_ranks", "test_wrong_word",
          "test_too_long", "test_not_handled", "test_too_few", "test_no_such_rank",
          "test_not_for_real_ranks", "test_leaves_a_message", "test_starts_a_thread",
          "test_wrong_allowance", "test_not_for_mpi"}  # fmt: skip


def suite(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs the cases in a folder of their own."""
    (folder / "test_cases.py").write_text(CASES.read_text())
    (folder / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "test_cases.py", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The output of one run of all cases, over two processes."""
    folder = tmp_path_factory.mktemp("suite")
    done = suite(folder, "-n", "2", "-rA")
    assert done.returncode == 1, done.stdout + done.stderr
    return folder, done.stdout


def test_each_test_has_its_own_outcome(whole: tuple[Path, str]) -> None:
    _, text = whole
    found = set(re.findall(r"^FAILED test_cases.py::(\w+)", text, re.MULTILINE))
    assert found == FAILED
    assert "14 failed, 12 passed, 1 skipped, 1 error" in text
    assert "test_coroutine[3 ranks]" in text


def test_a_failure_tells_rank_report_and_replay(whole: tuple[Path, str]) -> None:
    _, text = whole
    assert "rank 0 raised AssertionError: assert 2 < 1" in text
    assert "test_race - Failed: exception: rank 0" in text
    assert "rank 0 waits in barrier #1 of MPI.COMM_WORLD at test_cases.py:" in text
    assert "1 did not raise KeyError" in text
    assert "n is 0, and not from 1 to 256" in text
    assert "not sedes" in text
    assert "there is no rank 9: they are 0 to 1" in text
    assert "kills is not for world='mpi'" in text
    assert "is for a test with the marker" in text
    assert "unreceived message: rank 1 never received what rank 0 has sent it: send" in text
    assert "the marker's allow='thread' lets it" in text
    assert "allow is 'treads': there are 'socket'" in text
    assert "\nstrategy exhaustive walks programs over our rank API" in text
    assert "not all interleavings were walked: there was no time, or too few" in text
    assert re.search(r"rank 2 was killed as it came to kill at test_cases.py:\d+\. rank 0", text)
    assert re.search(r"schedule \d+ of 200, 3 ranks", text)


def test_the_replay_line_fails_in_the_same_way(whole: tuple[Path, str]) -> None:
    folder, text = whole
    found = re.search(r"pytest '(\S+test_race)' --adpkv-replay (\S+)", text)
    assert found is not None
    again = suite(folder, "-k", "test_race", "--adpkv-replay", found[2], "-q")
    assert "rank 0 raised AssertionError: assert 2 < 1" in again.stdout
    assert "schedule 1 of 200" in again.stdout


def test_a_report_is_as_wide_as_the_terminal(tmp_path: Path) -> None:
    """Also that of a worker of pytest-xdist, which has none of its own."""
    (tmp_path / "test_cases.py").write_text(CASES.read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    words = ["-m", "pytest", "test_cases.py", "-k", "test_stuck", "--color=no", "-n", "1"]
    text = in_a_window(60, [sys.executable, *words], tmp_path)
    assert re.search(r"^    rank 0: waits in barrier #1 of MPI.COMM_WORLD$|^  ! ", text, re.M)
    report = text[text.index("deadlock: early exit: ") : text.index("replay (")]
    assert max(map(len, report.splitlines())) <= 60


def in_a_window(columns: int, words: list[str], folder: Path) -> str:
    """What a program prints on a terminal so wide."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    child = subprocess.Popen(words, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    parts = []
    with contextlib.suppress(OSError):  # as it ends
        while part := os.read(ours, 65536):
            parts.append(part)
    os.close(ours)
    child.wait(60)
    return b"".join(parts).decode().replace("\r", "")


def test_the_plugin_imports_nothing_where_it_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text(
        "import sys\ndef test_plain():\n"
        "    own = [m for m in sys.modules if m.startswith('adpkv.')]\n"
        "    assert sorted(own) == ['adpkv.rank_programs', 'adpkv.rank_programs.pytest_plugin']\n"
        "    assert not {'mpi4py', 'torch', 'pydantic'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_plain.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
