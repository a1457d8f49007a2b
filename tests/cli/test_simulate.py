"""`adpkv simulate`: what it prints, what it writes, what it ends with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.forked import adpkv

pytest.importorskip("adpkv.worlds.virtual.run")

EXPERIMENT = """
name: tiny
seed: 1
topology: {context: {ranks: 2}, generation: {ranks: 2}}
workload:
  kind: closed_loop
  users: 4
  requests: 12
  prompt_tokens: {min: 64, max: 400}
  output_tokens: {min: 2, max: 20}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.yaml"
    file.write_text(EXPERIMENT)
    return file


def _simulate(file: Path, out: str, *argv: str) -> subprocess.CompletedProcess[str]:
    return adpkv(file.parent, "simulate", file, "--out", out, *argv)


def test_it_says_how_it_went_and_where_the_files_are(file: Path) -> None:
    ended = _simulate(file, "out")
    assert ended.returncode == 0, ended.stderr
    assert "completed: 12 of 12 requests completed" in ended.stdout
    assert "context-0" in ended.stdout
    assert ended.stdout.endswith("files: out\n")
    written = {path.name for path in (file.parent / "out").iterdir()}
    assert written == {
        "config.yaml",
        "summary.json",
        "requests.jsonl",
        "events.jsonl",
        "ranks.jsonl",
    }


def test_json_is_the_summary(file: Path) -> None:
    ended = _simulate(file, "out", "--json", "--seed", "5")
    summary = json.loads(ended.stdout)
    assert summary == json.loads((file.parent / "out" / "summary.json").read_text())
    assert summary["seed"] == 5


def test_what_only_a_real_run_serves_is_left_out_in_words(file: Path) -> None:
    asked = ("--set", "observe.http=127.0.0.1:9400")
    ended = _simulate(file, "out", *asked)
    assert ended.returncode == 0
    assert ended.stderr == "adpkv: observe.http is left out: nobody asks after virtual time\n"
    assert _simulate(file, "again", "--quiet", *asked).stderr == ""


def test_quiet_says_nothing(file: Path) -> None:
    ended = _simulate(file, "out", "--quiet")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_without_jumping_the_requests_are_the_same(file: Path) -> None:
    _simulate(file, "jumped", "-q")
    _simulate(file, "walked", "-q", "--no-jump")
    jumped, walked = (
        (file.parent / name / "requests.jsonl").read_text() for name in ("jumped", "walked")
    )
    assert jumped == walked


def test_no_mpi_is_imported(file: Path) -> None:
    script = (
        "import sys\nfrom adpkv.cli.app import main\n"
        "try:\n    main()\nfinally:\n    assert 'mpi4py' not in sys.modules\n"
    )
    command = [sys.executable, "-c", script, "simulate", str(file), "--out", "o", "-q"]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=file.parent
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_folder_of_somebody_else_is_refused(file: Path) -> None:
    ended = _simulate(file, ".")
    assert ended.returncode == 2
    assert "'tiny.yaml', which no run wrote" in ended.stderr
    assert [path.name for path in file.parent.iterdir()] == ["tiny.yaml"]
