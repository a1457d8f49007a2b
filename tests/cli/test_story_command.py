"""`adpkv story`, and the stories that violations and deadlocks print by themselves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from adpkv.output.figures import COLUMN_TITLES
from tests.cli.forked import adpkv

EXPERIMENT = """
name: told
topology: {context: {ranks: 2}, generation: {ranks: 2}}
transceiver: {transfer_timeout: 100ms}
faults: [{kind: stall, requests: [1, 2, 3, 4, 5], duration: 200ms}]
workload:
  kind: closed_loop
  users: 2
  requests: 12
  prompt_tokens: {min: 64, max: 400}
  output_tokens: {min: 20, max: 40}
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiment and its run in `out`."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "told.yaml").write_text(EXPERIMENT)
    ended = adpkv(folder, "simulate", "told.yaml", "--out", "out", "-q")
    assert ended.returncode == 0, ended.stderr
    return folder


def test_it_tells_the_story(here: Path) -> None:
    ended = adpkv(here, "story", "1", "--out", "out")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0] == "request 1"
    assert "FAULT stall (post)" in lines[-1]
    assert "outcome: timed_out" in lines[-2]
    assert "\x1b" not in ended.stdout


def test_the_folder_may_stand_behind_the_number(here: Path) -> None:
    there = adpkv(here, "story", "1", "out")
    assert (there.returncode, there.stdout) == (0, adpkv(here, "story", "1", "--out", "out").stdout)


def test_json_is_the_story_too(here: Path) -> None:
    values = json.loads(adpkv(here, "story", "0", "--out", "out", "--json").stdout)
    assert (values["request"], values["outcome"], values["wrong"]) == (0, "completed", None)


def test_without_a_folder_it_is_the_newest_run(here: Path) -> None:
    assert adpkv(here, "simulate", "told.yaml", "-q").returncode == 0
    assert adpkv(here, "story", "0").stdout.startswith("request 0\n")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("99", "--out", "out"), "out: there is no request 99; its requests are 0 to 11"),
        (("0", "--out", "none"), "none: there is no such folder"),
        (("0", "--out", "."), "there is no config.yaml"),
        (
            ("out", "1"),
            "out: the request's number comes first, then the run's folder, as in: adpkv"
            " story 1 out",
        ),
        (("0", "out", "--out", "out"), "the run's folder is given twice"),
    ],
)
def test_what_cannot_be_told_is_one_message(here: Path, argv: tuple[str, ...], said: str) -> None:
    ended = adpkv(here, "story", *argv)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_where_nothing_ran_there_is_no_newest_run(tmp_path: Path) -> None:
    ended = adpkv(tmp_path, "story", "0")
    assert ended.returncode == 2
    assert "there is no run here" in ended.stderr


def test_a_violation_prints_the_stories_of_its_requests(here: Path) -> None:
    options = ("--set", "policy.on_timeout=free")
    ended = adpkv(here, "simulate", "told.yaml", "--out", "broken", *options)
    assert ended.returncode == 4, ended.stdout
    assert "VIOLATION write_after_free" in ended.stdout
    told = [line for line in ended.stdout.splitlines() if line.startswith("request ")]
    assert len(told) == 3
    assert "also concerned: request" in ended.stdout
    lines = ended.stdout.splitlines()
    (outcome,) = [at for at, line in enumerate(lines) if line.startswith("violation: ")]
    assert outcome > lines.index(told[-1]), "behind the stories; which requests failed follows"
    unseen = adpkv(
        here, "simulate", "told.yaml", "--out", "b2", *options, "--set", "observe.events=false"
    )
    assert unseen.returncode == 4
    assert "request 1" not in unseen.stdout


def test_a_deadlock_prints_the_stories_of_what_was_open(here: Path) -> None:
    options = ("--set", "policy.responses=owner")
    ended = adpkv(here, "simulate", "told.yaml", "--out", "stuck", *options)
    assert (ended.returncode, ended.stdout) == (3, "")
    lines = ended.stderr.splitlines()
    assert lines[0].startswith("adpkv: wrong operation in generation-1")
    concerned = lines.index("the requests concerned")
    assert lines.index("stacks") < concerned < len(lines) - 1
    assert [line for line in lines[concerned:] if line.startswith("  request ")]
    assert "the job got stuck: rank" in "\n".join(lines[concerned:])
    parts = {re.split("  +", line)[1] for line in lines[concerned:] if line.endswith(" ms")}
    assert {"context queue", "prefill", "hand-over"} <= parts <= set(COLUMN_TITLES.values())
    assert lines[-1].startswith("replay: adpkv simulate"), "at hand, at the end"
    assert "Traceback" not in ended.stderr
    quiet = adpkv(here, "simulate", "told.yaml", "--out", "s2", "-q", *options)
    assert quiet.stderr.startswith("adpkv: wrong operation in generation-1")
    assert "the requests concerned" not in quiet.stderr
