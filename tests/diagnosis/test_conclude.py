"""What a stuck run leaves behind, and what its command says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from adpkv.config import load
from adpkv.diagnosis.conclude import error_text
from adpkv.errors import DeadlockError, StuckError
from adpkv.field_policies import assembly
from adpkv.worlds.virtual.run import simulate
from tests.diagnosis.test_render import REGRESSIONS

(WEDGED,) = REGRESSIONS.glob("05-*.yaml")


def test_the_report_is_in_deadlock_json(tmp_path: Path) -> None:
    experiment = load(WEDGED)
    with pytest.raises(StuckError) as caught:
        simulate(experiment, out=tmp_path / "run", assemble=assembly(experiment))
    said = json.loads((tmp_path / "run" / "deadlock.json").read_text())
    assert said["error"] == "deadlock"
    assert said["message"] == str(caught.value)
    assert {place["rank"] for place in said["places"]} == set(range(5))
    assert said["kind"] == "missing participant"
    assert said["diagnosis"].startswith("rank 4 never came to tp_allgather #400 at sync")
    assert said["why"][0] == {
        "value": "transfers in flight",
        "odd": [1],
        "others": [0],
        "others_agree": True,
    }
    assert said["classes"][0]["ranks"] == [4]
    assert said["classes"][0]["stack"], "the missing rank's too"
    assert said["graph"]["cycle"] == [[4], [0]]
    assert {pin["rank"] for pin in said["pinned"] if pin["in_flight"] == [3]} == {0, 4}
    assert [story["request"] for story in said["stories"]] == [3]
    assert said["replay"].endswith("config.yaml --seed 0")
    assert len(list((tmp_path / "run" / "fr_trace").iterdir())) == 5


def test_the_folder_can_be_used_again(tmp_path: Path) -> None:
    experiment = load(WEDGED)
    for _ in range(2):
        with pytest.raises(StuckError):
            simulate(experiment, out=tmp_path / "run", assemble=assembly(experiment))


def test_an_error_without_evidence_is_told_as_it_is() -> None:
    assert error_text(DeadlockError("nobody knows")) == "nobody knows"


def test_the_command_prints_it_and_what_it_replays_says_the_same(tmp_path: Path) -> None:
    def said(argv: list[str]) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "adpkv", "simulate", *argv, "--quiet"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.returncode == 3
        return done.stderr

    first = said([str(WEDGED), "--out", "run"])
    assert first.startswith("adpkv: missing participant in generation-1 at 1.450050 s")
    replay = first.rpartition("replay: adpkv simulate ")[2].split()
    assert replay == ["run/config.yaml", "--seed", "0"]
    again = said([*replay, "--out", "again"])
    assert again.partition("replay:")[0] == first.partition("replay:")[0]
