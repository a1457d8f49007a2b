"""Commands that adpkv tells to type can be pasted, also where a folder's name has a space."""

from __future__ import annotations

import re
import shlex
from html import unescape
from pathlib import Path

import pytest
from typer.testing import CliRunner

import adpkv
from adpkv.cli.app import app
from adpkv.cli.probes import MPIRUN_ON_PATH
from adpkv.errors import UsageError

FEW = {"workload.requests": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "my folder"
    made.mkdir()
    return made


def test_what_init_says_to_try(folder: Path) -> None:
    told = CliRunner().invoke(app, ["init", str(folder / "mine")]).stdout
    words = shlex.split(told.partition("try: ")[2])
    assert words == ["adpkv", "simulate", str(folder / "mine.yaml")]


def test_how_a_sweep_and_an_exploration_go_on(folder: Path) -> None:
    adpkv.sweep("quickstart", vary={"workload.rate": [1]}, set=FEW, out=folder / "s", jobs=1)
    adpkv.explore("explore", seeds=(0, 1), jobs=1, out=folder / "e")
    sweep = ["sweep", "quickstart", "--vary", "workload.rate=1", "--out", str(folder / "s")]
    explore = ["explore", "explore", "--seeds", "0:1", "--out", str(folder / "e")]
    for words, name in ((sweep, "s"), (explore, "e")):
        error = CliRunner().invoke(app, words).exception
        assert isinstance(error, UsageError)
        pasted = re.search(r"--resume .*?(?=, or)", str(error))
        assert pasted is not None
        assert shlex.split(pasted[0]) == ["--resume", str(folder / name)]


def test_the_replay_of_a_find_and_the_story_of_a_page(folder: Path) -> None:
    out = str(folder / "e")
    words = ["--set", "policy.on_timeout=free", "--seeds", "100:102", "--jobs", "1", "--out", out]
    told = CliRunner().invoke(app, ["explore", "explore", *words]).stdout
    (line,) = [line for line in told.splitlines() if line.startswith("  adpkv replay ")]
    assert shlex.split(line)[2] == f"{out}/finds/write_after_free.yaml"
    failing = {**FEW, "faults": [{"kind": "fail"}]}
    adpkv.simulate("quickstart", set=failing, out=folder / "run")
    page = adpkv.write_report(folder / "run")[0].read_text(encoding="utf-8")
    pasted = re.search(r"<code>(adpkv story .*?)</code>", page)
    assert pasted is not None
    assert shlex.split(unescape(pasted[1]))[-1] == str(folder / "run")


def test_what_doctor_says_to_export(folder: Path) -> None:
    told = MPIRUN_ON_PATH.format(folder=shlex.quote(str(folder)))
    assert shlex.split(told.partition(",")[0]) == ["export", f"PATH={folder}:$PATH"]
