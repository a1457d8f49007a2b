"""Files: every one that we ship, what `dump` writes, and where a trace is looked for."""

from pathlib import Path

import pytest
import yaml
from config_minimal import POISSON, minimal
from hypothesis import given
from hypothesis import strategies as st

from adpkv.config import Experiment, dump, load, parse
from adpkv.config.loading import MAX_FILE_BYTES
from adpkv.config.workload import TraceConfig
from adpkv.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
SHIPPED = sorted(CONFIGS.glob("*.yaml"))


def shipped(path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """Load as a user in the repository's root does; the shared trace need not be there."""
    monkeypatch.chdir(CONFIGS.parent)
    try:
        return load(path)
    except ConfigError as error:
        assert path.name == "conversation.yaml"
        (only,) = error.problems
        assert only.startswith("workload.path: there is no such file")
    return parse(yaml.safe_load(path.read_text()), str(path))


def test_there_are_experiments_to_start_from() -> None:
    assert CONFIGS / "quickstart.yaml" in SHIPPED


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_every_shipped_experiment_loads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipped(path, monkeypatch).name == path.stem


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_what_is_dumped_loads_as_the_same_experiment(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = shipped(path, monkeypatch)
    again = yaml.safe_load(dump(experiment))
    assert parse(again, "dump") == experiment


def test_a_dump_reads_like_a_file_written_by_hand(tmp_path: Path) -> None:
    text = dump(parse(minimal(), "test"))
    assert text.startswith("name: minimal\nseed: 0\ntopology:\n  context:\n    instances: 1\n")
    assert "  queue_timeout: 600s\n" in text
    assert "    bandwidth: 10GiB\n" in text
    assert "faults: []\n" in text


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
rates = st.floats(min_value=1e-6, allow_infinity=False)


@given(name=names, rate=rates, after_ns=st.integers(0, 10**17), size=st.integers(1 << 20, 1 << 50))
def test_any_experiment_survives_dump_and_load(
    tmp_path_factory: pytest.TempPathFactory, name: str, rate: float, after_ns: int, size: int
) -> None:
    data = minimal(
        name=name,
        workload={**POISSON, "rate": rate},
        faults=[{"kind": "stall", "after": f"{after_ns}ns", "ranks": [0, 1]}],
        transceiver={"post_budget": f"{size}B"},
    )
    experiment = parse(data, "test")
    path = tmp_path_factory.mktemp("dump") / "config.yaml"
    path.write_text(dump(experiment))
    assert load(path) == experiment


@pytest.mark.parametrize("name", ["1e3", "true", "null", "007", "0x1F", "1_000", ".5e1"[1:], "no"])
def test_a_name_that_looks_like_something_else_stays_a_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(dump(parse(minimal(name=name), "test")))
    assert load(path).name == name


@pytest.mark.parametrize(
    ("text", "value"),
    [("010", 10), ("1e1", 10), ("1_0", 10), ("+10", 10), ("0x10", None), ("1:30", None)],
)
def test_numbers_are_those_of_yaml_1_2(tmp_path: Path, text: str, value: int | None) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(dump(parse(minimal(), "test")).replace("rate: 5.0", f"rate: {text}"))
    if value is None:
        with pytest.raises(ConfigError, match="must be a number"):
            load(path)
    else:
        workload = load(path).workload
        assert workload.kind == "poisson"
        assert workload.rate == value


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("\ufeff" + dump(parse(minimal(), "test")), encoding="utf-8")
    assert load(path).name == "minimal"


def test_many_aliases_of_aliases_cost_nothing(tmp_path: Path) -> None:
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40)]
    path = tmp_path / "experiment.yaml"
    path.write_text("a0: &a0 [x]\n" + "\n".join(levels))
    assert path.stat().st_size < MAX_FILE_BYTES
    with pytest.raises(ConfigError, match=r"its aliases make [\d,]+ values; most is 1,000,000"):
        load(path)


def trace_experiment(folder: Path, trace: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(minimal(workload={"kind": "trace", "path": trace})))
    return path


def trace_path(experiment: Experiment) -> str:
    assert isinstance(experiment.workload, TraceConfig)
    return experiment.workload.path


def test_the_packaged_sample_is_no_path(tmp_path: Path) -> None:
    (tmp_path / "sample").touch()
    assert trace_path(load(trace_experiment(tmp_path, "sample"))) == "sample"


def test_a_trace_is_looked_for_in_the_current_folder_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = trace_experiment(tmp_path / "configs", "a.jsonl")
    (tmp_path / "configs" / "a.jsonl").touch()
    (tmp_path / "a.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    assert trace_path(load(path)) == str(tmp_path / "a.jsonl")


def test_a_trace_is_looked_for_beside_the_yaml_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = trace_experiment(tmp_path / "configs", "a.jsonl")
    (tmp_path / "configs" / "a.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    assert trace_path(load(path)) == str(tmp_path / "configs" / "a.jsonl")


def test_a_trace_that_is_not_there_is_told_with_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = trace_experiment(tmp_path / "configs", "a.jsonl")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert f"looked for {tmp_path}/a.jsonl and {tmp_path}/configs/a.jsonl" in problem
    assert "(found 'a.jsonl', line " in problem
