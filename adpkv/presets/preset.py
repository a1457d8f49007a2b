"""A preset by its name: `MODEL[:PRECISION]@DEVICE[xN][-tpT][-epE]`.

`llama-3.3-70b@h100x8-tp8` is a rank of eight H100; `deepseek-v3@h200x8-tp1-ep8` is a rank of one
H200, whose experts are spread over eight. In place of a model's name there may be the path of a
`config.json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import msgspec

from adpkv.errors import UsageError
from adpkv.presets.architecture import Architecture
from adpkv.presets.devices import DEVICES
from adpkv.presets.hugging_face import architecture_of
from adpkv.presets.models import MODELS
from adpkv.presets.roofline import Rank

__all__ = ["PRECISIONS", "Preset", "parse_preset"]

PRECISIONS: Final[Mapping[str, int]] = {"bf16": 2, "fp8": 1}
"""Bytes of a weight."""

MOST_DEVICES: Final = 65_536
MOST_FILE_BYTES: Final = 1 << 20

_NAME: Final = re.compile(
    r"(?P<model>[^@]+?)(?::(?P<precision>[a-z0-9]+))?"
    r"@(?P<device>[a-z0-9]+?)(?:x(?P<count>\d{1,5}))?"
    r"(?:-tp(?P<tp>\d{1,5}))?(?:-ep(?P<ep>\d{1,5}))?"
)


@dataclass(frozen=True, slots=True)
class Preset:
    """What a name stands for."""

    name: str
    rank: Rank
    devices: int
    """Of a host, which a fast link joins."""

    def section(self) -> dict[str, Any]:
        """The keys of an experiment's `model` section, as in YAML but for durations, which are
        nanoseconds."""
        one, costs = self.rank.architecture, self.rank.costs()
        latent = one.latent is not None
        return {
            "layers": one.layers,
            # A latent is no pair of key and value; half of it twice is as many bytes.
            "kv_heads": 1 if latent else one.kv_heads,
            "head_dim": one.kv_values // 2 if latent else one.head_dim,
            "dtype_bytes": self.rank.kv_dtype_bytes,
            "step_base": costs.base_ns,
            "per_prefill_token": costs.prefill_token_ns,
            "per_prefill_pair": costs.prefill_pair_ns,
            "per_sequence": costs.sequence_ns,
            "per_context_token": costs.context_token_ns,
        }


def parse_preset(name: str, kv_dtype_bytes: int = 2) -> Preset:
    """What a name stands for.

    Args:
        name: `MODEL[:PRECISION]@DEVICE[xN][-tpT][-epE]`.
        kv_dtype_bytes: size of an element of the KV cache.

    Raises:
        UsageError: there is no such model or device, the parts do not fit each other, or the
            weights do not fit the devices; the message reads on after the name.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise UsageError("must be MODEL@DEVICE, such as llama-3.3-70b@h100x8-tp8")
    device = DEVICES.get(found["device"])
    if device is None:
        raise UsageError(_unknown("device", found["device"], DEVICES))
    architecture = _architecture(found["model"])
    if found["precision"] is not None:
        if found["precision"] not in PRECISIONS:
            raise UsageError(f"there is no precision {found['precision']}: {', '.join(PRECISIONS)}")
        architecture = replace(architecture, weight_bytes=PRECISIONS[found["precision"]])
    tp = int(found["tp"] or 1)
    devices = int(found["count"] or tp)
    ep = int(found["ep"] or (devices if architecture.experts else 1))
    _check_parts(architecture, devices, tp, ep, spread=found["ep"] is not None)
    preset = Preset(name, Rank(architecture, device, tp, ep, kv_dtype_bytes), devices)
    if preset.rank.room_tokens < 1:
        need, have = preset.rank.weight_bytes / 10**9, device.memory_bytes / 10**9
        raise UsageError(
            f"does not fit: the weights are {float(need):.0f} GB on each device, which has"
            f" {have:.0f} GB"
        )
    return preset


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    there = list(known)
    near = get_close_matches(name.lower(), there, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"there is no {what} {name}{hint}: {', '.join(there)}"


def _architecture(model: str) -> Architecture:
    if model in MODELS:
        return architecture_of(MODELS[model])
    if not model.endswith(".json"):
        raise UsageError(f"{_unknown('model', model, MODELS)}, or the path of a config.json")
    path = Path(model)
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_FILE_BYTES + 1)
        if len(raw) > MOST_FILE_BYTES:
            raise UsageError(f"{path} is no config.json: larger than {MOST_FILE_BYTES} bytes")
        return architecture_of(msgspec.json.decode(raw, type=dict[str, Any]))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is no config.json: {error}") from None
    except ValueError as error:
        raise UsageError(f"{path} does not say what is needed: {error}") from None


def _check_parts(one: Architecture, devices: int, tp: int, ep: int, *, spread: bool) -> None:
    if not 1 <= tp <= MOST_DEVICES or devices < 1 or ep < 1:
        raise UsageError("has a count of no devices")
    if devices % tp:
        raise UsageError(f"has {devices} devices, which cannot be split into ranks of {tp}")
    if one.heads % tp:
        raise UsageError(f"has {one.heads} attention heads, which {tp} devices cannot share")
    if spread and one.experts is None:
        raise UsageError("has no experts to spread: leave -ep out")
    if one.experts is not None and ep > one.experts.count:
        raise UsageError(f"has {one.experts.count} experts, fewer than {ep} devices")
