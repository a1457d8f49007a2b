"""Experiments by name on the command line: which is taken, what is said, what a shell completes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adpkv.cli.app import app
from adpkv.config import load
from adpkv.config.shipped import shipped
from adpkv.errors import UsageError

ONE = ["--set", "workload.requests=1", "--out", "out"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_name_is_simulated() -> None:
    ended = CliRunner().invoke(app, ["simulate", "four-ranks", *ONE])
    assert ended.exit_code == 0, ended.output
    assert ended.stderr.count("adpkv:") == 0
    assert load(Path("out/config.yaml")).name == "four-ranks"


@pytest.mark.parametrize(("quiet", "said"), [([], 1), (["--quiet"], 0), (["-q"], 0)])
@pytest.mark.parametrize("first", [True, False])
def test_a_file_of_that_name_is_taken_and_that_is_said_unless_quiet(
    quiet: list[str], said: int, first: bool
) -> None:
    CliRunner().invoke(app, ["init", "mine", "--from", "four-ranks"])
    Path("mine.yaml").rename("quickstart")
    argv = [*quiet, "quickstart"] if first else ["quickstart", *quiet]
    ended = CliRunner().invoke(app, ["simulate", *argv, *ONE])
    assert ended.exit_code == 0, ended.output
    assert ended.stderr.count("adpkv: quickstart is the file that is here") == said
    assert load(Path("out/config.yaml")).name == "mine"


def test_the_stand_in_is_said_of_a_run_and_of_a_file() -> None:
    few = ["--set", "workload.limit=5"]
    for argv in (["simulate", "conversation", "--out", "out"], ["validate", "conversation"]):
        ended = CliRunner().invoke(app, [*argv, *few])
        assert ended.exit_code == 0, ended.output
        assert "adpkv: the packaged sample stands in for conversation_trace.jsonl" in ended.stderr
    ended = CliRunner().invoke(app, ["simulate", "conversation", "-q", *few, "--out", "out"])
    assert ended.stderr == ""


def test_all_are_listed_each_on_a_line() -> None:
    lines = CliRunner().invoke(app, ["configs"]).stdout.splitlines()
    assert [line.split()[0] for line in lines] == [one.name for one in shipped()]
    listed = json.loads(CliRunner().invoke(app, ["configs", "--json"]).stdout)
    assert [one["name"] for one in listed] == [one.name for one in shipped()]
    assert all(Path(one["file"]).is_file() for one in listed)


def test_a_file_named_without_its_ending_is_pointed_at() -> None:
    CliRunner().invoke(app, ["init", "mine"])
    error = CliRunner().invoke(app, ["simulate", "mine"]).exception
    assert "did you mean mine.yaml?" in str(error)


def test_init_says_what_it_wrote_and_what_to_try() -> None:
    ended = CliRunner().invoke(app, ["init"])
    assert ended.stdout == "experiment.yaml: written; try: adpkv simulate experiment.yaml\n"
    assert isinstance(CliRunner().invoke(app, ["init"]).exception, UsageError)


def completed(words: str, asked_for: str = "complete_bash") -> list[str]:
    """What bash offers behind these words."""
    asked = {"_ADPKV_COMPLETE": asked_for, "COMP_WORDS": words, "COMP_CWORD": "2"}
    script = "import sys; sys.argv[0] = 'adpkv'; from adpkv.cli.app import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stderr == ""
    return ended.stdout.split()


def test_a_shell_completes_names_and_files() -> None:
    Path("quick.yaml").touch()
    Path("quick.txt").touch()
    Path("quick-folder").mkdir()
    Path("quick-folder/a.yaml").touch()
    assert completed("adpkv simulate qui") == ["quickstart", "quick.yaml", "quick-folder/"]
    assert completed("adpkv validate regressions/08b") == ["regressions/08b-revived-by-a-late-end"]
    assert completed("adpkv run quick-folder/") == ["quick-folder/a.yaml"]
    assert completed("adpkv run nowhere/") == []


def test_completion_is_offered_and_bash_understands_it() -> None:
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).stdout
    script = completed("adpkv", "source_bash")
    assert "_ADPKV_COMPLETE=complete_bash" in " ".join(script)
