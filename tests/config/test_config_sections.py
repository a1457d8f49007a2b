"""The models by themselves: names, defaults, and that nothing slips through."""

from collections.abc import Iterator
from typing import Any

import pytest
from config_minimal import POISSON, minimal
from pydantic import BaseModel, ValidationError

from adpkv.config import Experiment, faults, model, parse, serving, transceiver, workload
from adpkv.core.topology import Kind
from adpkv.errors import ConfigError

MODULES = (faults, model, serving, transceiver, workload)
SUFFIXES = ("_bytes_per_s", "_bytes", "_ns")


def models() -> Iterator[type[BaseModel]]:
    for module in MODULES:
        for name in module.__all__:
            found = getattr(module, name)
            if isinstance(found, type) and issubclass(found, BaseModel):
                yield found


def parsed(**sections: Any) -> Experiment:
    return parse(minimal(**sections), "test")


@pytest.mark.parametrize("section", list(models()), ids=lambda m: m.__name__)
def test_units_stand_in_the_attribute_and_not_in_the_key(section: type[BaseModel]) -> None:
    for name, field in section.model_fields.items():
        if field.alias is not None:
            suffix = next(s for s in SUFFIXES if name.endswith(s))
            assert field.alias == name.removesuffix(suffix)


@pytest.mark.parametrize("section", list(models()), ids=lambda m: m.__name__)
def test_every_key_says_what_it_means(section: type[BaseModel]) -> None:
    silent = [name for name, field in section.model_fields.items() if not field.description]
    assert not silent


def test_the_smallest_experiment_has_the_contracts_defaults() -> None:
    experiment = parsed()
    assert experiment.seed == 0
    assert experiment.transceiver.quarantine_budget == 16
    assert experiment.transceiver.progress_deadline_ns == 60_000_000_000
    assert experiment.transceiver.shutdown_grace_ns == 120_000_000_000
    assert experiment.executor.busy_wait_ns == 10_000_000
    assert experiment.executor.idle_wait_ns == 500_000_000
    assert experiment.faults == ()
    assert experiment.observe.events


def test_a_piece_is_the_post_budget_unless_it_is_given() -> None:
    for given, piece in (
        ({}, 4 << 20),
        ({"post_budget": "2MiB"}, 2 << 20),
        ({"piece": "64KiB"}, 1 << 16),
    ):
        assert parsed(transceiver=given).transceiver.piece_bytes == piece, given


def test_the_shutdown_grace_follows_the_progress_deadline() -> None:
    experiment = parsed(transceiver={"progress_deadline": "5s"})
    assert experiment.transceiver.shutdown_grace_ns == 10_000_000_000


def test_a_given_shutdown_grace_stands() -> None:
    experiment = parsed(transceiver={"progress_deadline": "5s", "shutdown_grace": "1s"})
    assert experiment.transceiver.shutdown_grace_ns == 1_000_000_000


def test_the_topology_lays_out_context_before_generation() -> None:
    groups = {
        "context": {"instances": 2, "ranks": 3},
        "generation": {"ranks": 4},
    }
    experiment = parsed(topology=groups)
    built = experiment.topology.build()
    assert built.ranks == experiment.topology.ranks == 10
    assert [i.kind for i in built.instances] == [Kind.CONTEXT, Kind.CONTEXT, Kind.GENERATION]


def test_the_kv_bytes_of_a_block_follow_from_model_and_cache() -> None:
    shape = {"layers": 3, "kv_heads": 5, "head_dim": 7, "dtype_bytes": 2}
    experiment = parsed(model=shape, kv_cache={"block_tokens": 16})
    assert experiment.model.kv_bytes_per_token == 3 * 2 * 5 * 7 * 2
    assert experiment.block_bytes == experiment.model.kv_bytes_per_token * 16


def test_a_section_without_keys_means_its_defaults() -> None:
    assert parsed(executor=None, faults=None, policy=None) == parsed()


def test_an_experiment_cannot_be_changed() -> None:
    experiment = parsed()
    with pytest.raises(ValidationError, match="frozen"):
        experiment.executor.token_budget = 1


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("poisson", POISSON),
        ("closed_loop", {**POISSON, "kind": "closed_loop", "users": 3, "rate": None}),
        ("trace", {"kind": "trace"}),
    ],
)
def test_each_kind_of_workload_is_read(kind: str, own: dict[str, Any]) -> None:
    given = {key: value for key, value in own.items() if value is not None}
    experiment = parsed(workload=given)
    assert experiment.workload.kind == kind
    assert experiment.workload.cancel.probability == 0.0
    assert experiment.workload.pinned == 0.0


@pytest.mark.parametrize(
    ("section", "value", "text"),
    [
        ("seed", True, "seed: must be a whole number (found true)"),
        ("seed", "7", "seed: must be a whole number (found '7')"),
        ("seed", 1.0, "seed: must be a whole number (found 1.0)"),
        ("seed", -1, "seed: must be at least 0 (found -1)"),
        ("name", 7, "name: must be text (put it in quotes) (found 7)"),
        ("name", "../x", "name: must be ASCII letters, digits, dots, dashes and underscores"),
        ("name", "", "name: must be ASCII letters"),
        ("observe", {"events": 1}, "observe.events: must be true or false (found 1)"),
        ("observe", {"pulse": "0s"}, "observe.pulse: must be more than 0 (found '0s')"),
        ("executor", 3, "executor: must be a mapping of keys to values (found 3)"),
        ("executor", {"drain_timeout": "0s"}, "executor.drain_timeout: must be more than 0"),
        ("model", {"time_scale": 0}, "model.time_scale: must be more than 0"),
        ("model", {"time_scale": float("inf")}, "model.time_scale: must be a finite number"),
        (
            "model",
            {"kind": "gpt"},
            "model.kind: must be 'cost' or 'gemm', or MODULE:FACTORY, or an",
        ),
        ("faults", {"kind": "fail"}, "faults: must be a list (found a mapping)"),
        ("kv_cache", {"blocks": 1}, "kv_cache.blocks: must be at least 2 (found 1)"),
        ("kv_cache", {"blocks": 1 << 30}, "kv_cache.blocks: must be at most 16777216"),
        ("transceiver", {"transport": "tcp"}, "transceiver.transport: must be 'mpi'"),
        ("workload", {"kind": "trace", "path": ""}, "workload.path: must not be empty"),
        ("workload", {"kind": "trace", "speed": True}, "workload.speed: must be a number"),
    ],
)
def test_wrong_values_are_named(section: str, value: object, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(**{section: value})
    assert [p for p in caught.value.problems if p.startswith(text)], caught.value.problems
