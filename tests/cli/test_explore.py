"""`adpkv explore` and `adpkv replay`: what they print, how they end, and what they refuse."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

import adpkv
from adpkv.cli.app import app
from adpkv.errors import UsageError
from adpkv.exploration.exhaustive import Walk
from adpkv.exploration.showing import WalkProgress

RUN = CliRunner()


def call(*argv: str, code: int = 0) -> str:
    done = RUN.invoke(app, list(argv))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.stdout


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exploration that found one thing."""
    out = tmp_path_factory.mktemp("explore") / "out"
    policy = "--set=policy.late_success=revives"
    said = call("explore", "explore", policy, "--seeds", "30:31", "--jobs", "1", "--out", str(out),
                code=4)  # fmt: skip
    assert "two_terminal_responses: 1 seed, the first 30" in said
    assert "shrunk to 2 ranks, 1 request, handle_error, 0 choices of the schedule" in said
    assert "found: 1 seed, " in said
    return out


def test_a_find_has_its_files(found: Path) -> None:
    data = json.loads((found / "explore.json").read_text())
    assert (data["outcome"], data["exit_code"]) == ("found", 4)
    assert [one["signature"] for one in data["finds"]] == ["two_terminal_responses"]
    assert Path(data["finds"][0]["file"]).is_file()


def test_also_quiet_what_was_found_is_told_in_a_line(tmp_path: Path) -> None:
    out, asked = tmp_path / "out", ["--seeds=0:2", "--jobs=1", "--quiet"]
    policy = ["--set", "policy.reap=when_scheduled"]
    said = CliRunner().invoke(app, ["explore", "explore", *policy, *asked, "--out", str(out)])
    assert (said.exit_code, said.stdout) == (4, "")
    (line,) = said.stderr.splitlines()
    data = json.loads((out / "explore.json").read_text())
    signatures = ", ".join(one["signature"] for one in data["finds"])
    assert len(data["finds"]) == 1
    assert line == f"adpkv: found: 2 seeds, 1 find: {signatures}; files: {out}"


def test_a_regression_is_kept_whole_or_not_at_all(found: Path, tmp_path: Path) -> None:
    file = str(found / "finds" / "two_terminal_responses.yaml")
    keep = ["replay", file, "--as-regression", "late", "--out", str(tmp_path)]
    second = tmp_path / "test_found_late.py"
    second.symlink_to(tmp_path / "gone" / "file")  # it cannot be written
    with pytest.raises(UsageError, match=f"{tmp_path}: cannot write here: No such file"):
        call(*keep)
    assert list(tmp_path.iterdir()) == [second]
    second.unlink()
    assert call(*keep).split() == [
        str(tmp_path / name) for name in ("late.yaml", "test_found_late.py")
    ]


def test_it_is_replayed_in_each_way(found: Path, tmp_path: Path) -> None:
    file = str(found / "finds" / "two_terminal_responses.yaml")
    whole = call("replay", file, code=4)
    assert whole.startswith("two_terminal_responses: ")
    assert "the same run, bit for bit" in whole
    quiet = CliRunner().invoke(app, ["replay", file, "--quiet"])
    assert (quiet.exit_code, quiet.stdout) == (4, "")
    assert quiet.stderr == f"adpkv: {whole.splitlines()[0]}\n"
    assert "exit_code" not in whole  # it follows from the violation
    word = call("replay", file, "--token").strip()
    assert json.loads(call("replay", word, "--json", code=4))["same"] is True
    stopped = call("replay", file, "--until", "quarantined")
    assert "quarantined" in stopped.splitlines()[-5:][0] or "quarantined" in stopped
    assert "rank 1 is in" in stopped
    values = json.loads(call("replay", file, "--until", "3", "--json"))
    assert [one["kind"] for one in values["events"]][:1] == ["arrived"]
    assert len(values["events"]) == 3
    assert len(values["places"]) == 2
    assert "violation" in call("replay", file, "--step", code=4)
    assert call("replay", file, "--story", "0").count("\n") > 5
    (told,) = json.loads(call("replay", file, "--story", "0", "--json"))
    assert told["request"] == 0
    kept = call("replay", file, "--as-regression", "revived", "--out", str(tmp_path))
    assert kept.split() == [str(tmp_path / "revived.yaml"), str(tmp_path / "test_found_revived.py")]
    listed = json.loads(call("regress", "--from", str(tmp_path), "--json"))
    assert "revived" in json.dumps(listed)


def test_a_file_that_was_edited_says_that_its_find_is_gone(found: Path, tmp_path: Path) -> None:
    text = (found / "finds" / "two_terminal_responses.yaml").read_text()
    lines = [line for line in text.splitlines() if "late_success" not in line]
    assert len(lines) == len(text.splitlines()) - 1
    (tmp_path / "edited.yaml").write_text("\n".join(lines))
    said = CliRunner().invoke(app, ["replay", str(tmp_path / "edited.yaml"), "--quiet"])
    assert (said.exit_code, said.stdout) == (adpkv.ExitCode.GONE, "")
    gone = "adpkv: two_terminal_responses was recorded, and nothing is found now: "
    assert said.stderr == f"{gone}the file was edited, or adpkv is another\n"
    other = [line.replace(f"adpkv: {adpkv.__version__}", "adpkv: 0.0.9") for line in lines]
    assert other != lines
    (tmp_path / "edited.yaml").write_text("\n".join(other))
    said = CliRunner().invoke(app, ["replay", str(tmp_path / "edited.yaml"), "--quiet"])
    assert said.stderr == f"{gone}adpkv 0.0.9 has found it, this is {adpkv.__version__}\n"


def test_a_clean_exploration_as_json(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    said = call("explore", "explore", "--seeds=0:3", "--jobs=1", "--json", "--out", out)
    assert json.loads(said)["outcome"] == "clean"
    assert call("explore", "--resume", out, "--quiet") == ""
    # Nothing was left: there is no rate of this call.
    assert "clean: 3 seeds, 1 of them twice, no find" in call("explore", "--resume", out)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("explore",), "which experiment"),
        (("explore", "explore", "--seeds", "5"), "--seeds 5"),
        (("explore", "explore", "--for", "soon"), "--for soon"),
        (("explore", "explore", "--jobs", "0"), "--jobs 0"),
        (
            ("explore", "explore", "--set", "model.kind=os:getcwd"),
            "model.step_base: is no parameter of os:getcwd",
        ),
        (
            ("explore", "explore-small", "--strategy=exhaustive", "--jobs=2", "--seeds=0:1"),
            "--seeds, --jobs: --strategy exhaustive walks FILE at one go",
        ),
        (("explore", "trace-sample"), "trace-sample: workload.kind: 'trace' cannot be varied"),
        (("explore", "--resume", "nowhere"), "nowhere"),
        (
            ("explore", "--resume", "nowhere", "--seeds=0:9", "--strategy=pct:3", "--set=seed=1"),
            "^--seeds, --set, --strategy: --resume nowhere goes on with what was begun there",
        ),
        (("explore", "explore", "--strategy", "exhaustive"), "explore: workload.kind"),
        (("replay", "nowhere.yaml"), "nowhere.yaml: cannot be read"),
        (("replay", "configs/explore.yaml"), "is no replay file"),
    ],
)
def test_what_is_refused(argv: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=said):
        call(*argv)


def test_a_walk_that_is_halted_keeps_what_it_has_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(progress: WalkProgress, walked: Walk) -> None:
        if walked.finds:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(WalkProgress, "__call__", interrupt)
    out, before = tmp_path / "out", signal.getsignal(signal.SIGINT)
    call(
        "explore", "explore-small", "--strategy=exhaustive", "--set=policy.idle_wait=unbounded",
        "--out", str(out), code=130,
    )  # fmt: skip
    data = json.loads((out / "explore.json").read_text())
    assert data["halted"]
    assert data["walk"]["paths"] == data["seeds"] > 0
    assert [Path(one["file"]).is_file() for one in data["finds"]] == [True]
    assert (out / "coverage.html").is_file()
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(UsageError, match="there is a walk in it, and a walk is made at one go"):
        call("explore", "explore-small", "--strategy=exhaustive", "--out", str(out))


def test_an_event_that_is_not_there(found: Path) -> None:
    file = str(found / "finds" / "two_terminal_responses.yaml")
    with pytest.raises(UsageError, match="there is no event 9999"):
        call("replay", file, "--until", "9999")
    with pytest.raises(UsageError, match=r"^--story: there is no request 99"):
        call("replay", file, "--story", "99")
    with pytest.raises(UsageError, match="--until and --story: give one"):
        call("replay", file, "--until", "5", "--story", "0")
    with pytest.raises(UsageError, match="--json and --step: give one"):
        call("replay", file, "--step", "--json")
    with pytest.raises(UsageError, match="--token and --as-regression: give one"):
        call("replay", file, "--token", "--as-regression", "revived")
