"""`model.preset`: beneath what is given, in what is written, and what is wrong with a name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from adpkv.config import Experiment, dump, load, parse
from adpkv.config.loading import load_data
from adpkv.config.model import CostModelConfig
from adpkv.config.presets import preset_sentence
from adpkv.errors import ConfigError
from adpkv.presets.models import MODELS
from tests.config.config_minimal import minimal

NAME = "llama-3.3-70b@h100x8-tp8"


def parsed(model: dict[str, Any], **more: Any) -> Experiment:
    return parse(minimal(model=model, **more), "test")


def test_a_preset_gives_costs_shape_link_and_pieces() -> None:
    experiment = parsed({"preset": NAME})
    model, transceiver = experiment.model, experiment.transceiver
    assert isinstance(model, CostModelConfig)
    assert (model.layers, model.kv_heads, model.head_dim, model.dtype_bytes) == (80, 8, 128, 2)
    assert model.kv_bytes_per_token == 327_680
    assert 12_000_000 < model.step_base_ns < 12_200_000
    assert transceiver.link.bandwidth_bytes_per_s == 320 * 10**9
    assert transceiver.link.latency_ns == 10_000
    assert transceiver.piece_bytes >= experiment.block_bytes


def test_what_is_given_wins() -> None:
    link = {"link": {"bandwidth": "1GB"}, "piece": "32MiB"}
    experiment = parsed({"preset": NAME, "step_base": "1ms", "kv_heads": 4}, transceiver=link)
    model = experiment.model
    assert isinstance(model, CostModelConfig)
    assert (model.step_base_ns, model.kv_heads, model.layers) == (1_000_000, 4, 80)
    assert experiment.transceiver.link.bandwidth_bytes_per_s == 10**9
    assert experiment.transceiver.piece_bytes == 32 << 20


def test_a_latent_has_as_many_bytes_as_it_has() -> None:
    assert parsed({"preset": "deepseek-v3@h200x8-ep8"}).model.kv_bytes_per_token == 70_272
    one_byte = parsed({"preset": "deepseek-v3@h200x8-ep8", "dtype_bytes": 1})
    assert one_byte.model.kv_bytes_per_token == 35_136


def test_what_is_written_needs_no_preset_any_more(tmp_path: Path) -> None:
    file, folder = tmp_path / "config.json", tmp_path / "elsewhere"
    file.write_text(json.dumps(MODELS["llama-3.1-8b"]))
    folder.mkdir()
    data = minimal(model={"preset": "config.json@h100"})
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(data))
    experiment = load(tmp_path / "x.yaml")
    assert experiment.model.kv_bytes_per_token == 131_072
    (folder / "config.yaml").write_text(dump(experiment))
    file.unlink()
    assert load(folder / "config.yaml") == experiment
    assert preset_sentence(experiment) == ""


def test_a_config_json_is_that_of_its_name(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(MODELS["deepseek-v3"]))
    named, read = (parsed({"preset": f"{m}@h200x8-ep8"}) for m in ("deepseek-v3", file))
    assert named.model.model_dump(exclude={"preset"}) == read.model.model_dump(exclude={"preset"})
    small = parsed({"preset": f"{file}:bf16@b200x16-ep16"})
    assert small.model.kv_bytes_per_token == 70_272


def test_a_sentence_says_what_a_rank_is_and_what_fits() -> None:
    told = preset_sentence(parsed({"preset": NAME}))
    assert told.startswith(f"a rank of {NAME} is 8 devices, with 320KiB of KV per token and room")
    assert "more than there is room for" not in told
    large = parsed({"preset": "llama-3.1-8b@h100"}, kv_cache={"blocks": 100_000})
    assert preset_sentence(large).endswith("more than there is room for")
    assert preset_sentence(parsed({})) == ""


def test_a_shape_of_the_files_own_is_told_beside_that_of_the_preset() -> None:
    """It said that a rank of Llama-3.3-70B has 1 KiB of KV per token, where the file said so."""
    own = {"layers": 4, "kv_heads": 2, "head_dim": 32, "dtype_bytes": 2}
    told = preset_sentence(parsed({"preset": NAME, **own}))
    whole = preset_sentence(parsed({"preset": NAME}))
    assert told == f"{whole}; by the keys of model it is 1KiB a token here"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("llama", "must be MODEL@DEVICE, such as llama-3.3-70b@h100x8-tp8"),
        ("llama@h100", "there is no model llama: llama-3.1-8b, "),
        ("llama-3.1-8b@h1", "there is no device h1 (did you mean h100?): a100, h20, h100"),
        ("llama-3.1-8b:int3@h100", "there is no precision int3: bf16, fp8"),
        ("llama-3.3-70b@h100", "does not fit: the weights are 141 GB on each device, which has 80"),
        ("llama-3.3-70b@h100x8-tp3", "has 8 devices, which cannot be split into ranks of 3"),
        ("llama-3.3-70b@h100x9-tp9", "has 64 attention heads, which 9 devices cannot share"),
        ("llama-3.1-8b@h100-ep2", "has no experts to spread"),
        ("mixtral-8x7b@h200-ep16", "has 8 experts, fewer than 16 devices"),
        ("llama-3.1-8b@h100x0-tp0", "has a count of no devices"),
        ("none.json@h100", "there is no such file: looked for"),
    ],
)
def test_a_name_that_stands_for_nothing_is_one_problem(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed({"preset": name})
    (told,) = caught.value.problems
    assert told.startswith(f"model.preset: {message}")
    assert told.endswith(f"(found {name!r})")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no config.json: Input data was truncated"),
        ("[]", "is no config.json: Expected `object`"),
        ("{}", "does not say what is needed: it has no num_attention_heads"),
    ],
)
def test_a_broken_config_json_is_one_problem(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        parsed({"preset": f"{file}@h100"})


@pytest.mark.parametrize("transceiver", [3, {"link": 3}])
def test_what_else_is_wrong_is_told_too(transceiver: object) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed({"preset": NAME, "layers": "many"}, transceiver=transceiver)
    told = "\n".join(caught.value.problems)
    assert "model.layers: must be a whole number" in told
    assert "transceiver" in told


def test_a_custom_models_preset_is_its_own() -> None:
    experiment = parsed({"kind": "tests.library.brought.burst_and_co:constant", "preset": "mine"})
    assert experiment.model.parameters["preset"] == "mine"  # type: ignore[union-attr]


@pytest.mark.parametrize("other", ["llama-3.1-8b@h200", "qwen2.5-72b@h200x4-tp4"])
def test_another_preset_replaces_what_the_one_before_gave(tmp_path: Path, other: str) -> None:
    """In a file whose keys are all spelled out, and in the points of a sweep."""
    given = {"step_base": "1ms", "dtype_bytes": 1}
    server = {"instances": [1], "preset": "llama-3.1-8b@l40s", "per_sequence": "7us"}
    topology = {**minimal()["topology"], "servers": [server]}
    first, second = (
        parsed({"preset": name, **given}, topology=topology, transceiver={"piece": "32MiB"})
        for name in (NAME, other)
    )
    (tmp_path / "config.yaml").write_text(dump(first))
    assert load(tmp_path / "config.yaml", [f"model.preset={other}"]) == second
    assert load(tmp_path / "config.yaml", [f"model.preset={NAME}"]) == first
    data = first.model_dump(by_alias=True, exclude_unset=True)
    assert load_data(data, "point", {"model.preset": other}) == second
    # An override of a key wins, also with the value that the old preset gave.
    layers = load_data(data, "point", {"model.preset": "llama-3.1-8b@h100", "model.layers": 80})
    assert layers.model.layers == 80
    own = load_data(data, "point", {"topology.servers.0.preset": "llama-3.1-8b@h100"}).costs_of(1)
    assert own.sequence_ns == 7000
    assert own.base_ns < 8_000_000 < first.costs_of(1).base_ns
