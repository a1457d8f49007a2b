"""What an override of a preset's name replaces: the keys that the preset before it gave.

An experiment that has been read has all keys spelled out, in a run's `config.yaml` and in the
points of a sweep, and keys that are given win over a preset. Without this another name would change
nothing there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from adpkv.config.document import Key
from adpkv.config.overrides import Overridden
from adpkv.config.presets import with_preset
from adpkv.config.problem import lookup
from adpkv.config.servers import COSTS
from adpkv.config.units import parse_fine_duration, parse_size

__all__ = ["without_replaced"]

_MODEL: Final = ("layers", "kv_heads", "head_dim", *COSTS)
"""Not `dtype_bytes`, which no preset decides."""

_GIVEN: Final[tuple[tuple[Key, ...], ...]] = (
    *(("model", key) for key in _MODEL),
    ("transceiver", "piece"),
    ("transceiver", "post_budget"),
    ("transceiver", "link", "latency"),
    ("transceiver", "link", "bandwidth"),
)
"""What `model.preset` gives."""


def without_replaced(before: object, changed: Overridden, folder: Path) -> Any:
    """The data with overrides, less what an old preset gave where an override names another one. A
    key that an override sets, or that is not what the old preset gave, stays.

    Args:
        before: the data without overrides; may be wrong in any way.
        changed: with them.
        folder: where the path of a `config.json` is looked up after the current folder.
    """
    data = changed.data
    if not isinstance(before, Mapping):
        return data
    if _other(before, changed, ("model", "preset")):
        data = _less(data, _GIVEN, _expanded(before, folder), changed)
    servers = lookup(before, ("topology", "servers"))
    for number in range(len(servers) if isinstance(servers, list | tuple) else 0):
        at: tuple[Key, ...] = ("topology", "servers", number)
        if _other(before, changed, (*at, "preset")):
            given = tuple((*at, key) for key in COSTS)
            data = _less(data, given, _expanded(before, folder), changed)
    return data


def _other(before: object, changed: Overridden, path: tuple[Key, ...]) -> bool:
    old = lookup(before, path)
    return isinstance(old, str) and path in changed.paths and lookup(changed.data, path) != old


def _expanded(before: Mapping[str, Any], folder: Path) -> object:
    """What the old presets give by themselves."""
    model, servers = before.get("model"), lookup(before, ("topology", "servers"))
    bare = {
        "kv_cache": before.get("kv_cache"),
        "model": {k: v for k, v in model.items() if k not in _MODEL}
        if isinstance(model, Mapping)
        else model,
        "topology": {
            "servers": [
                {k: v for k, v in one.items() if k not in COSTS}
                for one in (servers if isinstance(servers, list | tuple) else ())
                if isinstance(one, Mapping)
            ]
        },
    }
    return with_preset(bare, folder)[0]


def _less(
    data: object, paths: tuple[tuple[Key, ...], ...], given: object, changed: Overridden
) -> object:
    for path in paths:
        if not changed.sets(path) and _same(lookup(data, path), lookup(given, path)):
            data = _removed(data, path)
    return data


def _removed(data: Any, path: tuple[Key, ...]) -> Any:
    key, rest = path[0], path[1:]
    if isinstance(data, list | tuple):
        return [_removed(one, rest) if i == key else one for i, one in enumerate(data)]
    if rest:
        return {**data, key: _removed(data[key], rest)}
    return {k: v for k, v in data.items() if k != key}


def _same(value: object, other: object) -> bool:
    """Whether they are the same number, duration or size, however they are written."""
    parsers: tuple[Callable[[object], int | Fraction], ...] = (parse_fine_duration, parse_size)
    for parse in parsers:
        try:
            return parse(value) == parse(other)
        except (TypeError, ValueError):
            continue
    return isinstance(value, int) and value == other
