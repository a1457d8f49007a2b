"""What a person sees of a real run: in a window, behind `adpkv run` and behind plain mpirun."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.output.window import Window, watch
from tests.real_ranks.conftest import MPIRUN

pytestmark = pytest.mark.real_ranks

ROOT = Path(__file__).parents[2]
ADPKV = str(Path(sys.executable).with_name("adpkv"))
SERVED = ["configs/four-ranks.yaml", "--set", "observe.pulse=50ms"]
STUCK = ["configs/regressions/03-gate-that-differs-by-one-block.yaml"]
BOUND_S = 60


@dataclass
class Shown:
    """One run in a window: how it ended, what stood there then, and every picture before."""

    code: int
    lines: list[str]
    pictures: list[str]
    out: Path
    columns: int


def _shown(tmp: Path, columns: int, argv: list[str]) -> Shown:
    if not MPIRUN.exists():
        pytest.skip("no mpirun in this environment: pip install 'adpkv[mpi]'")
    out = tmp / "out"
    code, lines, seen = watch([*argv, "--out", str(out)], columns, cwd=ROOT, timeout_s=BOUND_S)
    return Shown(code, lines, ["\n".join(picture) for picture in seen], out, columns)


@pytest.fixture(scope="module", params=[("adpkv", 80), ("mpirun", 60)], ids=["adpkv", "mpirun"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    by, columns = request.param
    start = [ADPKV] if by == "adpkv" else [str(MPIRUN), "-n", "4", ADPKV]
    return _shown(tmp_path_factory.mktemp("served"), columns, [*start, "run", *SERVED])


@pytest.fixture(scope="module")
def stuck(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return _shown(tmp_path_factory.mktemp("stuck"), 80, [ADPKV, "run", *STUCK])


def test_the_last_lines_of_a_real_run_are_its_result(served: Shown) -> None:
    assert served.code == 0
    said = " ".join(served.lines)
    assert served.lines.index(next(x for x in served.lines if x.startswith("KV blocks"))) < 2
    assert "no violation, nothing leaked. files: " in " ".join(said.split())
    assert "/out" in served.lines[-1]
    assert "healthy" not in said
    assert not any("requests ·" in line for line in served.lines)


def test_a_run_serves_every_request_and_leaves_its_files(served: Shown) -> None:
    out = served.out
    assert sorted(path.name for path in out.iterdir()) == [
        "config.yaml", "events.jsonl", "ranks.jsonl", "requests.jsonl", "summary.json",
    ]  # fmt: skip
    summary = json.loads((out / "summary.json").read_text())
    counts = summary["requests"]
    assert counts["completed"] + counts["cancelled"] == counts["submitted"] > 0
    assert summary["world"] == "mpi"
    assert (summary["transport"], summary["memory"]) == ("mpi", "host")
    assert " over mpi, host memory; no violation" in " ".join(" ".join(served.lines).split())
    assert summary["violations"] == []
    assert all(blocks["leaked"] == 0 for blocks in summary["blocks"].values())
    assert len((out / "requests.jsonl").read_text().splitlines()) == counts["submitted"]


def test_no_figure_is_cut(served: Shown) -> None:
    summary = json.loads((served.out / "summary.json").read_text())
    figures = " ".join(served.lines).split()
    for counts in summary["blocks"].values():
        assert all(f"{count:,}" in figures for count in counts.values())
    assert "…" not in "".join(served.lines)
    # The path is one that can be copied.
    assert max(map(len, served.lines[:-2])) <= served.columns


def test_it_says_what_it_waits_for_and_then_how_far_it_is(served: Shown) -> None:
    at = [
        next((i for i, picture in enumerate(served.pictures) if words in picture), None)
        for words in ("waiting for 4 ranks in MPI_Init", "/40 requests", "nothing leaked")
    ]
    assert None not in at
    assert at == sorted(at)


def test_no_stale_line_stands_below_a_deadlock_report(stuck: Shown) -> None:
    assert stuck.code == 3
    said = "\n".join(stuck.lines)
    assert stuck.lines[0].startswith("adpkv: crossed payload in generation-1")
    assert "healthy" not in said
    assert any(line.startswith("replay: adpkv simulate") for line in stuck.lines)
    report = stuck.lines[: next(i for i, x in enumerate(stuck.lines) if x.startswith("replay:"))]
    # Broken by us, between words, and not by the window.
    assert max(map(len, report)) <= 80
    assert "arrives: 16 prompt tokens," in said
    assert any("starting 3 ranks with mpirun" in picture for picture in stuck.pictures)


def test_a_stuck_run_leaves_its_summary_and_prints_it(stuck: Shown, tmp_path: Path) -> None:
    """Whichever rank speaks for all; what each knew of itself is in it."""
    for out, said in ((stuck.out, None), _as_json(tmp_path / "out")):
        summary = json.loads((out / "summary.json").read_text())
        assert (summary["outcome"], summary["exit_code"]) == ("deadlock", 3)
        assert summary["broken_off"]["unanswered"] == 4
        assert summary["iterations"] > 0
        assert (summary["lost"], summary["violations"]) == ([], [])
        assert said is None or json.loads(said) == summary


def _as_json(out: Path) -> tuple[Path, str]:
    argv = [ADPKV, "run", *STUCK, "--json", "--out", str(out)]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 3
    return out, ended.stdout


def test_a_closed_window_ends_the_run_in_order(tmp_path: Path) -> None:
    """As when a person closes it: SIGHUP to whoever it was opened for, and nobody to write to."""
    if not MPIRUN.exists():
        pytest.skip("no mpirun in this environment: pip install 'adpkv[mpi]'")
    out = tmp_path / "out"
    argv = [ADPKV, "run", *SERVED, "--set", "workload.requests=100000", "--out", str(out)]
    until_s = time.monotonic() + BOUND_S
    with Window(80) as window:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.output.seated", *argv],
            cwd=ROOT,
            stdin=window.stream,
            stdout=window.stream,
            stderr=window.stream,
            start_new_session=True,
        )
        try:
            window.stream.close()
            while not any("tokens/s" in line for line in window.lines()):
                assert process.poll() is None, window.lines()
                assert time.monotonic() < until_s, window.lines()
                window.heard(0.1)
            window.hang_up()
            assert process.wait(BOUND_S) == 129
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["outcome"], summary["exit_code"]) == ("interrupted", 129)
    assert summary["violations"] == []
    assert (out / "events.jsonl").exists()
