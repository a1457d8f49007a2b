"""What a person sees of commands that need no MPI, in windows of any width."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from adpkv.config.shipped import shipped
from tests.output.window import Window, watch

ROOT = Path(__file__).parents[2]
ADPKV = str(Path(sys.executable).with_name("adpkv"))
WIDTHS = (60, 80, pytest.param(120, marks=pytest.mark.campaign), 200)
NARROW = (60, *(pytest.param(width, marks=pytest.mark.campaign) for width in (80, 120, 200)))
"""What fits here fits everywhere: the others are a campaign."""
STUCK = "configs/regressions/03-gate-that-differs-by-one-block.yaml"
LONG = """
name: long
topology: {context: {ranks: 2}, generation: {ranks: 2}}
workload: {kind: closed_loop, users: 8, requests: 3000000,
           prompt_tokens: {min: 16, max: 256}, output_tokens: {min: 4, max: 16}}
observe: {pulse: 50ms}
"""


@dataclass
class Shown:
    code: int
    lines: list[str]
    columns: int
    out: Path


@pytest.fixture(scope="module", params=WIDTHS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    out = tmp_path_factory.mktemp("served") / "out"
    argv = [ADPKV, "simulate", "configs/quickstart.yaml", "--out", str(out)]
    code, lines, _ = watch(argv, request.param, cwd=ROOT)
    return Shown(code, lines, request.param, out)


def test_a_simulation_shows_every_figure_and_its_result_last(served: Shown) -> None:
    assert served.code == 0
    said = " ".join(" ".join(served.lines).split())
    assert "no violation, nothing leaked. files: " in said
    summary = json.loads((served.out / "summary.json").read_text())
    for counts in summary["blocks"].values():
        assert all(f"{count:,}" in said.split() for count in counts.values())
    assert said.count(" ms") >= 20
    assert "…" not in said
    *tables, _ = served.lines
    assert max(map(len, tables)) <= served.columns


def test_at_80_columns_a_table_is_one_table(served: Shown) -> None:
    heads = [line for line in served.lines if line.startswith("KV blocks")]
    assert len(heads) == (1 if served.columns >= 80 else 2)
    if served.columns >= 80:
        assert heads[0].split()[-2:] == ["quarantined", "leaked"]


@pytest.mark.parametrize("columns", NARROW)
def test_the_report_of_a_stuck_job_fits(columns: int, tmp_path: Path) -> None:
    argv = [ADPKV, "simulate", STUCK, "--out", str(tmp_path / "out")]
    code, lines, _ = watch(argv, columns, cwd=ROOT)
    assert code == 3
    assert lines[0].startswith("adpkv: crossed payload in generation-1")
    said = " ".join(" ".join(lines).split())
    assert "arrives: 16 prompt tokens, " in said
    assert " s of virtual time " in said, "no word is broken where the window ends"
    at = next(i for i, line in enumerate(lines) if line.startswith("replay: adpkv simulate"))
    assert max(map(len, lines[:at])) <= columns
    assert "healthy" not in said


def test_progress_in_virtual_time_says_what_time_it_is_and_how_long_it_takes(
    tmp_path: Path,
) -> None:
    """And a window that is closed ends the run in order, with the code of SIGHUP."""
    file, out = tmp_path / "long.yaml", tmp_path / "out"
    file.write_text(LONG)
    argv = [ADPKV, "simulate", str(file), "--out", str(out)]
    with Window(60) as window:
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
            while True:
                said = " ".join(" ".join(window.lines()).replace("\N{NO-BREAK SPACE}", " ").split())
                if " left" in said:
                    break
                assert process.poll() is None, said
                window.heard(0.1)
            for words in (" s of virtual time", " s/s", " requests/s"):
                assert words in said
            window.hang_up()
            assert process.wait(60) == 129
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["outcome"], summary["exit_code"]) == ("interrupted", 129)


def test_a_pipe_gets_lines_that_are_neither_broken_nor_padded(tmp_path: Path) -> None:
    argv = [ADPKV, "simulate", "configs/quickstart.yaml", "--out", str(tmp_path / "out")]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    lines = ended.stdout.splitlines()
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in ended.stdout
    assert lines[-2].startswith("completed: 193 of 200 requests completed, 7 cancelled in ")
    assert lines[-2].endswith("; no violation, nothing leaked.")
    assert ended.stderr == ""


@pytest.mark.parametrize("columns", NARROW)
@pytest.mark.parametrize("command", [["doctor"], ["--help"], ["run", "--help"], ["regress", "1"]])
def test_other_commands_fit_too(command: list[str], columns: int) -> None:
    code, lines, _ = watch([ADPKV, *command], columns, cwd=ROOT)
    assert code == 0
    assert max(map(len, lines)) <= columns
    assert "…" not in "".join(lines)


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("trace", "--chars-per-token"), ("check", "--flight-recorder"), ("sweep", "--subject-to"),
        ("timeline", "(RUN/timeline.perfetto-trace)"),
    ],
)  # fmt: skip
def test_a_help_cuts_no_word_off(command: str, option: str) -> None:
    """It may go on in the next line: `--chars-per-to…` is no option."""
    _, lines, _ = watch([ADPKV, command, "--help"], 60, cwd=ROOT)
    assert "…" not in "".join(lines)
    # Each column of the table by itself, read downwards.
    cells = [re.split(r"  +", line.strip("│ ")) for line in lines]
    said = "".join(row[0] for row in cells) + "".join(row[-1] for row in cells)
    assert option in said


@pytest.mark.parametrize("columns", [40, 80])
def test_an_error_breaks_between_words(columns: int) -> None:
    argv = [ADPKV, "validate", "quickstart", "--set", "topology.generation.ranks=none at all"]
    code, lines, _ = watch(argv, columns, cwd=ROOT.parent)
    assert code == 2
    assert "must be a whole number (found 'none at all', from --set)" in " ".join(
        " ".join(lines).split()
    )
    assert max(len(line) for line in lines if " " in line.strip()) <= columns


def test_what_validate_says_breaks_between_words() -> None:
    preset = "model.preset=llama-3.3-70b@h100x8-tp8"
    argv = [ADPKV, "validate", "quickstart", "--set", preset]
    code, lines, _ = watch(argv, 60, cwd=ROOT)
    assert code == 0
    assert max(map(len, lines)) <= 60
    assert " a rank of llama-3.3-70b@h100x8-tp8 is 8 devices, with 320KiB of KV per token and" in (
        " ".join(" ".join(lines).split())
    )
    assert all(line.startswith("  ") for line in lines[1:])


def test_a_path_longer_than_the_window_can_be_copied_whole(tmp_path: Path) -> None:
    """What was too long was cut by a newline and a hang. The terminal itself goes on in the next
    line, and copies it as one."""
    file = tmp_path / f"{'long' * 20}.yaml"
    file.write_text(LONG)
    code, lines, _ = watch([ADPKV, "validate", str(file)], 60, cwd=ROOT)
    assert code == 0
    assert "".join(lines).startswith(f"{file}:")


def test_a_remark_breaks_between_words(tmp_path: Path) -> None:
    """What was assumed of a trace was broken at the window's edge, wherever that was."""
    trace = tmp_path / "t.csv"
    trace.write_text("arrived_at,num_prefill_tokens,num_decode_tokens\n0,3,4\n")
    workload = f"workload={{kind: trace, path: {trace.name}}}"
    argv = [ADPKV, "simulate", "quickstart", "--set", workload, "--out", "out"]
    code, lines, _ = watch(argv, 60, cwd=tmp_path)
    assert code == 0
    remark = lines[: next(at for at, line in enumerate(lines) if "KV blocks" in line) - 1]
    assert " ".join(" ".join(remark).split()) == (
        "adpkv: t.csv: Vidur CSV: times in seconds, counted from the first row; no hash ids; a turn"
        " as long as all that its session has said begins with it"
    )


@pytest.mark.parametrize("columns", NARROW)
def test_names_of_experiments_can_be_copied_whole(columns: int) -> None:
    code, lines, _ = watch([ADPKV, "configs"], columns, cwd=ROOT)
    assert code == 0
    assert {one.name for one in shipped()} <= {line.split()[0] for line in lines}
    assert max(map(len, lines)) <= columns
