"""`--set`: values as YAML, paths into sections and lists, and what cannot be set."""

from pathlib import Path

import pytest
import yaml
from config_minimal import minimal, problems_in

from adpkv.config import Experiment, load
from adpkv.config.kinds import EXAMPLES
from adpkv.config.loading import load_data

FAULTS = [{"kind": "stall"}, {"kind": "fail"}]


def loaded(folder: Path, *overrides: str, text: str | None = None) -> Experiment:
    path = folder / "experiment.yaml"
    path.write_text(text or yaml.safe_dump(minimal(faults=FAULTS)))
    return load(path, overrides)


def test_values_mean_what_they_mean_in_the_file(tmp_path: Path) -> None:
    experiment = loaded(
        tmp_path,
        "seed=7",
        "executor.queue_timeout=1.5s",
        "kv_cache.reuse=false",
        "transceiver.link.bandwidth=25GB",
        "workload.prompt_tokens={min: 3, max: 4}",
        "workload.shared_prefix=",
        "name = spaced",
    )
    assert experiment.seed == 7
    assert experiment.executor.queue_timeout_ns == 1_500_000_000
    assert not experiment.kv_cache.reuse
    assert experiment.transceiver.link.bandwidth_bytes_per_s == 25 * 10**9
    assert experiment.workload.kind == "poisson"
    assert experiment.workload.prompt_tokens.max == 4
    assert experiment.workload.shared_prefix is None
    assert experiment.name == "spaced"


def test_the_later_override_wins(tmp_path: Path) -> None:
    assert loaded(tmp_path, "seed=1", "seed=2").seed == 2


def test_a_whole_section_can_be_replaced(tmp_path: Path) -> None:
    experiment = loaded(tmp_path, "workload={kind: trace, limit: 3}")
    assert experiment.workload.kind == "trace"


def test_a_list_is_entered_by_index(tmp_path: Path) -> None:
    experiment = loaded(tmp_path, "faults.1.count=2", "faults.0.duration=3s")
    assert experiment.faults[1].count == 2
    assert experiment.faults[0].duration_ns == 3_000_000_000
    # And in what has been read, whose lists are tuples: the points of a sweep.
    again = load_data(experiment.model_dump(by_alias=True), "point", {"faults.1.count": 5})
    assert [one.count for one in again.faults][1] == 5


def test_a_value_may_hold_an_equals_sign(tmp_path: Path) -> None:
    problems = problems_in(tmp_path, minimal(), "name=a=b")
    assert problems == (
        "name: must be ASCII letters, digits, dots, dashes and underscores, at most 64 "
        "(found 'a=b', from --set)",
    )


def test_an_alias_is_changed_in_one_place_only(tmp_path: Path) -> None:
    text = (
        "name: a\n"
        "topology: {context: &group {ranks: 2}, generation: *group}\n"
        "workload: {kind: trace}\n"
    )
    topology = loaded(tmp_path, "topology.context.ranks=5", text=text).topology
    assert (topology.context.ranks, topology.generation.ranks) == (5, 2)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("seed", "--set seed: must look like section.key=value"),
        ("=3", "--set =3: must look like section.key=value"),
        ("a..b=3", "--set a..b=3: must look like section.key=value"),
        ("seed.x=3", "--set seed.x=3: seed is 0, there is no 'x' in it"),
        (
            "faults.2.count=1",
            "--set faults.2.count=1: faults is a list of 2, there is no 2 in it: "
            "name faults.0 to faults.1",
        ),
        ("faults.x=1", "--set faults.x=1: faults is a list of 2, there is no 'x' in it"),
        (
            "topology.0=1",
            "--set topology.0=1: topology is a mapping, not a list: there is no 0 in "
            "it: its keys are context, generation",
        ),
        ("7=1", "--set 7=1: an experiment is a mapping, not a list: there is no 7 in it"),
        ("9" * 5000 + "=1", "9999999999"),
        ("seed=" + "9" * 5000, "--set seed=999"),
        (".".join("a" * 1000) + "=1", "--set a.a.a"),
        ("seed=" + "[" * 330 + "]" * 330, "--set seed=[[["),
        ("name=\udcff", "--set name=\udcff: is not UTF-8"),
        ("\udcff=1", "--set \udcff=1: is not UTF-8"),
        (
            'name="\\ud800"',
            "--set name=\"\\ud800\": the value is not YAML: '\\ud800' has a code point",
        ),
        ("seed=[", "--set seed=[: the value is not YAML: while parsing a flow node"),
        ("seed={a: 1, a: 2}", "--set seed={a: 1, a: 2}: the value is not YAML: the key 'a' app"),
        ("sead=3", "sead: is not known here: did you mean seed? (found 3, from --set)"),
        ("model.layer=3", "model.layer: is not known here: did you mean layers? (found 3, from"),
        ("executor.busy_wait=60", "executor.busy_wait: needs a unit: write 60s"),
        ("kv_cache.blocks=2", "kv_cache.blocks: leaves 1 block"),
    ],
)
def test_what_cannot_be_set_is_told(tmp_path: Path, override: str, problem: str) -> None:
    (told,) = problems_in(tmp_path, minimal(seed=0, faults=FAULTS), override)
    assert told.startswith(problem)


def test_bad_overrides_are_told_together_with_the_files_problems(tmp_path: Path) -> None:
    told = problems_in(tmp_path, minimal(observe={"pulse": 1}), "seed", "name=7")
    assert [line.partition(":")[0] for line in told] == ["--set seed", "observe.pulse", "name"]


def test_what_is_no_list_yet_is_given_whole(tmp_path: Path) -> None:
    data = minimal()
    (told,) = problems_in(tmp_path, data, "faults.0.count=3")
    assert told.startswith("--set faults.0.count=3: faults is an empty list: give all of it")
    example = told.partition("--set '")[2].rstrip("'")
    assert loaded(tmp_path, example, text=yaml.safe_dump(data)).faults[0].kind == "stall"


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("before", EXAMPLES)
def test_another_kind_of_workload_is_given_whole(tmp_path: Path, before: str, kind: str) -> None:
    data = minimal(workload=yaml.safe_load(EXAMPLES[before]))
    override = f"workload.kind={kind}"
    if kind == before:
        assert loaded(tmp_path, override, text=yaml.safe_dump(data)).workload.kind == kind
        return
    (told,) = problems_in(tmp_path, data, override)
    assert told.startswith("workload.kind: changes which keys the workload has: give the whole")
    example = told.partition("--set '")[2].partition("'")[0]
    assert loaded(tmp_path, example, text=yaml.safe_dump(data)).workload.kind == kind


def test_another_kind_does_not_hide_what_else_is_wrong(tmp_path: Path) -> None:
    told = problems_in(tmp_path, minimal(), "workload.kind=trace", "seed=x", "workload.limit=0")
    named = [line.partition(":")[0] for line in told]
    assert sorted(named) == ["seed", "workload.kind", "workload.limit"]


@pytest.mark.parametrize("kind", ["[]", "{}", "[trace]", "null", "7"])
def test_a_kind_that_is_no_word_is_no_kind(tmp_path: Path, kind: str) -> None:
    told = problems_in(tmp_path, minimal(), f"workload.kind={kind}")
    assert any(line.startswith("workload.kind: ") for line in told), told
