"""The experiments that come with adpkv: their names, and the files that are started from them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from adpkv.config import load
from adpkv.config import shipped as names
from adpkv.config.shipped import Found, find, folder, near, shipped, shipped_file
from adpkv.config.stand_in import stand_in, trace_assumptions
from adpkv.config.starting import start_file
from adpkv.errors import ConfigError, UsageError

CONFIGS = Path(__file__).parents[2] / "configs"
NAMES = [one.name for one in shipped()]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_checkout_has_those_of_its_configs() -> None:
    assert folder() == CONFIGS
    assert len(NAMES) == len(list(CONFIGS.rglob("*.yaml")))
    assert NAMES.index("quickstart") < NAMES.index("regressions/08-late-write")


@pytest.mark.parametrize("one", shipped(), ids=NAMES)
def test_each_is_fine_and_says_what_it_is(one) -> None:
    assert load(one.path).name == one.name.rpartition("/")[2] or one.name.startswith("regressions/")
    assert re.fullmatch(r"[A-Zr\d].{20,200}", one.about())


def test_a_name_is_found_and_a_path_stays() -> None:
    assert find(Path("quickstart")) == Found(CONFIGS / "quickstart.yaml")
    assert find(Path("mine.yaml")) == Found(Path("mine.yaml"))


def test_a_file_wins_over_a_name_and_a_name_over_a_folder_and_it_is_said() -> None:
    Path("quickstart").mkdir()
    assert find(Path("quickstart")).path == CONFIGS / "quickstart.yaml"
    assert "not the folder that is here" in find(Path("quickstart")).note
    Path("quickstart").rmdir()
    Path("quickstart").touch()
    assert find(Path("quickstart")).path == Path("quickstart")
    assert "not the experiment of that name" in find(Path("quickstart")).note


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("quickstrat", "quickstart"),
        ("configs/quickstart.yaml", "quickstart"),
        ("Quick", "quickstart"),
        ("08-late-write", "regressions/08-late-write"),
        ("regressions/08-late-wriet", "regressions/08-late-write"),
        ("conversations.yml", "conversation"),
    ],
)
def test_a_missing_file_suggests_names(asked: str, meant: str) -> None:
    assert near(Path(asked))[0] == meant
    with pytest.raises(ConfigError, match=f"no such file; did you mean {meant}"):
        load(Path(asked))


def test_what_is_like_no_name_is_told_how_to_list_them() -> None:
    with pytest.raises(ConfigError, match="no such file; `adpkv configs` lists"):
        load(Path("zzz.yaml"))


def test_a_package_without_them_still_takes_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_PACKAGE", tmp_path / "adpkv")
    assert shipped() == []
    assert find(Path("mine.yaml")) == Found(Path("mine.yaml"))
    with pytest.raises(ConfigError, match="there is no such file"):
        load(Path("mine.yaml"))
    with pytest.raises(UsageError, match="the experiments of adpkv are not here"):
        folder()


# -- the sample in place of a trace --------------------------------------------------------------


def test_the_sample_stands_in_and_it_is_said_where_the_trace_is() -> None:
    path = CONFIGS / "conversation.yaml"
    told = stand_in(load(path))
    assert "kvcache-ai/Mooncake on GitHub, FAST25-release/traces" in told
    assert told.endswith("--set workload.path=FILE")
    Path("mine.jsonl").touch()
    assert stand_in(load(path, ["workload.path=mine.jsonl"])) == ""
    assert stand_in(load(CONFIGS / "trace-sample.yaml")) == ""
    assert stand_in(load(CONFIGS / "quickstart.yaml")) == ""


def test_what_is_assumed_of_a_trace_is_said() -> None:
    path = CONFIGS / "conversation.yaml"
    assert trace_assumptions(load(path)) == ""
    Path("mine").write_text("arrived_at,num_prefill_tokens,num_decode_tokens\n0,1,1\n")
    told = trace_assumptions(load(path, ["workload.path=mine"]))
    assert told.startswith("mine: Vidur CSV: times in seconds, counted from the first row; no hash")
    Path("mine").write_text("")
    assert trace_assumptions(load(path, ["workload.path=mine"])) == ""


# -- files to start from -------------------------------------------------------------------------


def commands(path: Path) -> list[list[str]]:
    """The calls of adpkv in a file's comments."""
    lines = re.findall(r"^# {3}(?:mpirun -n \d+ )?adpkv (.*?)(?: {2,}.*)?$", path.read_text(), re.M)
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("source", NAMES)
def test_a_file_that_was_started_is_valid_and_its_comments_are_about_it(source: str) -> None:
    Path("conversation_trace.jsonl").touch()  # that a command names, and is not ours
    started, original = start_file("mine", source), shipped_file(source)
    assert original is not None
    experiment = load(started)
    assert experiment.model_copy(update={"name": load(original).name}) == load(original)
    assert experiment.name == "mine"
    assert len(commands(started)) == len(commands(original))
    for command, target, *rest in commands(started):
        if command in ("run", "simulate"):
            assert target == "mine.yaml"
            load(Path(target), [rest[at + 1] for at, word in enumerate(rest) if word == "--set"])
    assert source not in re.findall(r"runs/([\w-]+)-", started.read_text())


def test_what_is_commented_out_is_valid_too() -> None:
    """The keys in the quickstart's comments: as YAML, in the place where they stand."""
    started = start_file("mine")
    text, taken = re.subn(r"(?m)^#(?=faults:|  - \{)", "", started.read_text())
    assert taken == 3
    started.write_text(text)
    assert len(load(started).faults) == 2
    assert "duration: 30s" in text
    assert yaml.safe_load(text)["transceiver"]["transfer_timeout"] == "20s"


def test_no_file_is_overwritten() -> None:
    Path("mine.yaml").write_text("mine")
    with pytest.raises(UsageError, match=r"mine\.yaml: is there already"):
        start_file("mine")
    assert Path("mine.yaml").read_text() == "mine"


@pytest.mark.parametrize("name", ["", "a b", "12", ".hidden", "x" * 65, "true", "größe"])
def test_a_name_that_no_experiment_can_have_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="an experiment needs a name"):
        start_file(name)
    assert not list(Path().iterdir())


def test_the_file_may_be_elsewhere() -> None:
    Path("sub folder").mkdir()
    started = start_file("sub folder/mine.yaml")
    assert load(started).name == "mine"
    assert commands(started)[0][1] == "sub folder/mine.yaml"


def test_an_unknown_source_suggests_names() -> None:
    with pytest.raises(UsageError, match=r"no experiment 'quikstart'.*did you mean quickstart"):
        start_file("mine", "quikstart")
