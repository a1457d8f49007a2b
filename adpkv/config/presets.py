"""What `model.preset` stands for becomes keys of the experiment, beneath those that are given.

It is done before anything is checked, so that a relation that does not hold names the key that it
is about. A written `config.yaml` has all keys, and then the preset is a name only: a run's folder
is read without the `config.json` that it may name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adpkv.config.base import LARGEST
from adpkv.config.model import CostedModelConfig
from adpkv.config.problem import Problem
from adpkv.config.servers import COSTS
from adpkv.config.units import exact_duration, size_text
from adpkv.errors import UsageError

if TYPE_CHECKING:
    from adpkv.config.experiment import Experiment
    from adpkv.presets.preset import Preset

__all__ = ["LINK_LATENCY", "preset_of", "preset_sentence", "with_preset"]

LINK_LATENCY: Final = "10us"
"""Of a network with RDMA, from the end of a post to its arrival."""

LEAST_PIECE: Final = 64 << 20
"""A network card moves large pieces by itself; a piece is one block at least."""

LEAST_BUDGET: Final = 1 << 30
MOST_BLOCK_BYTES: Final = 1 << 61

_KINDS: Final = ("cost", "gemm")
"""The kinds of model that have a preset. A custom model's key of this name is its own."""

_SHAPE: Final = ("layers", "kv_heads", "head_dim", "dtype_bytes")
_KV_DTYPES: Final = (1, 2, 4, 8)


def with_preset(
    data: dict[str, Any], folder: Path = Path()
) -> tuple[dict[str, Any], list[Problem]]:
    """The sections with what the preset gives, and what is wrong with its name.

    Args:
        data: the sections as plain values, which may be wrong in any way.
        folder: where the path of a `config.json` is looked up after the current folder.
    """
    data, problems = _with_server_presets(data, folder)
    changed, more = _with_model_preset(data, folder)
    return changed, [*problems, *more]


def _with_server_presets(
    data: dict[str, Any], folder: Path
) -> tuple[dict[str, Any], list[Problem]]:
    topology, model = data.get("topology"), data.get("model")
    servers = topology.get("servers") if isinstance(topology, Mapping) else None
    if not isinstance(topology, Mapping) or not isinstance(servers, list | tuple):
        return data, []
    size = model.get("dtype_bytes") if isinstance(model, Mapping) else None
    made, problems = list(servers), []
    for i, server in enumerate(servers):
        name = server.get("preset") if isinstance(server, Mapping) else None
        if not isinstance(name, str) or server.keys() >= set(COSTS):
            continue
        try:
            preset = preset_of(name, size, folder)
        except UsageError as error:
            problems.append(Problem(("topology", "servers", i, "preset"), str(error)))
            continue
        costs = {key: exact_duration(Fraction(preset.section()[key])) for key in COSTS}
        made[i] = {**costs, **server, "preset": preset.name}
    return {**data, "topology": {**topology, "servers": made}}, problems


def _with_model_preset(data: dict[str, Any], folder: Path) -> tuple[dict[str, Any], list[Problem]]:
    model = data.get("model")
    if not isinstance(model, Mapping) or model.get("kind", "cost") not in _KINDS:
        return data, []
    name, transceiver = model.get("preset"), data.get("transceiver") or {}
    link = (transceiver.get("link") or {}) if isinstance(transceiver, Mapping) else None
    if not isinstance(name, str) or not isinstance(transceiver, Mapping):
        return data, []
    if not isinstance(link, Mapping):
        return data, []
    told = {*model, *transceiver, *link}
    if told >= {*_SHAPE, *COSTS, "piece", "post_budget", "latency", "bandwidth"}:
        return data, []
    try:
        preset = preset_of(name, model.get("dtype_bytes"), folder)
    except UsageError as error:
        return data, [Problem(("model", "preset"), str(error))]
    section = {
        key: exact_duration(Fraction(value)) if key in COSTS else value
        for key, value in preset.section().items()
    }
    model = {**section, **model, "preset": preset.name}
    block = _block_bytes(model, data.get("kv_cache"))
    found = {"latency": LINK_LATENCY, "bandwidth": size_text(preset.rank.transfer_bytes_per_s)}
    pieces = {
        "piece": size_text(max(LEAST_PIECE, block)),
        "post_budget": size_text(max(LEAST_BUDGET, block)),
    }
    transceiver = {**pieces, **transceiver, "link": {**found, **link}}
    return {**data, "model": model, "transceiver": transceiver}, []


def _block_bytes(model: Mapping[str, Any], cache: object) -> int:
    """A KV block's size, as far as the keys that give it are counts; they are checked later."""
    tokens = cache.get("block_tokens", 64) if isinstance(cache, Mapping) else 64
    factors: list[int] = [tokens, *(model[key] for key in _SHAPE)]
    if not all(type(one) is int and 0 < one < LARGEST for one in factors):
        return 0
    return min(2 * prod(factors), MOST_BLOCK_BYTES)


def preset_sentence(experiment: Experiment) -> str:
    """What a rank of the experiment's preset is, and what fits into it; empty without a preset, or
    where its `config.json` is no more."""
    model, cache = experiment.model, experiment.kv_cache
    if not isinstance(model, CostedModelConfig) or model.preset is None:
        return ""
    try:
        preset = preset_of(model.preset, model.dtype_bytes)
    except UsageError:
        return ""
    devices = preset.rank.tensor_parallel
    held, room = cache.blocks * cache.block_tokens, preset.rank.room_tokens
    over = ": more than there is room for" if held > room else ""
    own, whole = model.kv_bytes_per_token, preset.rank.kv_bytes_per_token
    shape = "" if own == whole else f"; by the keys of model it is {size_text(own)} a token here"
    return (
        f"a rank of {model.preset} is {devices} device{'s' if devices > 1 else ''}, with"
        f" {size_text(whole)} of KV per token and room for {room:,} tokens"
        f" beside the weights; kv_cache.blocks holds {held:,}{over}{shape}"
    )


def preset_of(name: str, kv_dtype_bytes: object = None, folder: Path = Path()) -> Preset:
    """The preset of this name.

    Args:
        name: as in the experiment; the name of what is returned has an absolute path in it.
        kv_dtype_bytes: as given; what is no size is somebody else's problem.
        folder: as for `with_preset`.

    Raises:
        UsageError: there is none; the message reads on after the name of the key.
    """
    size = kv_dtype_bytes if kv_dtype_bytes in _KV_DTYPES else 2
    model, at, rest = name.partition("@")
    file, colon, precision = model.partition(".json:")
    file = f"{file}.json" if colon else file
    if file.endswith(".json"):
        tried = [Path(file).absolute(), (folder / file).absolute()]
        path = next((one for one in tried if os.path.isfile(one)), None)
        if path is None:
            looked = " and ".join(dict.fromkeys(map(str, tried)))
            raise UsageError(f"there is no such file: looked for {looked}")
        name = f"{path}{':' if colon else ''}{precision}{at}{rest}"
    from adpkv.presets.preset import parse_preset

    return parse_preset(name, int(str(size)))
