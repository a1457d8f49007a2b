"""The schema of an experiment as a generator needs it: each key, by its place, with what it takes.

Read from the JSON Schema that `adpkv schema` prints, which pydantic makes of the models: a new key
is generated from the day on which it is there, and needs no word here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from adpkv.config.schema import json_schema
from adpkv.plugins import NAME_PATTERN

__all__ = ["ROOT", "alternatives", "is_optional", "keys", "keys_of", "place", "variants"]

Node = Mapping[str, Any]

_SCHEMA: Final = json_schema()
ROOT: Final[Node] = _SCHEMA
WORKLOADS: Final[Mapping[str, str]] = _SCHEMA["properties"]["workload"]["discriminator"]["mapping"]


def resolved(node: Node) -> Node:
    """The node that a reference stands for; what is said beside the reference goes with it."""
    if "$ref" not in node:
        return node
    found: Node = _SCHEMA["$defs"][str(node["$ref"]).rpartition("/")[2]]
    return found


def alternatives(node: Node) -> list[Node]:
    """What a value may be, but for null and for what somebody else has written."""
    node = resolved(node)
    for key in ("anyOf", "oneOf"):
        if key in node:
            return [found for one in node[key] for found in alternatives(one)]
    brought = node.get("pattern") == NAME_PATTERN or node.get("additionalProperties")
    return [] if node.get("type") == "null" or brought else [node]


def is_optional(section: Node, key: str) -> bool:
    """May it be left out?"""
    return key not in section.get("required", ())


def variants(node: Node) -> Mapping[str, Node]:
    """The sections that a discriminator chooses from, by its value; none where there is none."""
    return {
        name: resolved({"$ref": ref})
        for name, ref in node.get("discriminator", {}).get("mapping", {}).items()
    }


def place(above: str, key: str) -> str:
    """Where a key is: `transceiver.link.latency`, `faults[].kind`, `workload(script).requests`."""
    return f"{above}.{key}" if above else key


def keys(section: Node = ROOT, above: str = "") -> Iterator[tuple[str, Node]]:
    """Every key of the schema, by its place, with what it takes; those of sections too."""
    for key, node in section["properties"].items():
        here = place(above, key)
        yield here, node
        if found := variants(node):
            for name, one in found.items():
                yield from keys(one, f"{here}({name})")
            continue
        for one in alternatives(node):
            if one.get("type") == "array":
                for item in alternatives(one["items"]):
                    if "properties" in item:
                        yield from keys(item, f"{here}[]")
            elif "properties" in one:
                yield from keys(one, here)


def keys_of(data: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every key that an experiment gives, by its place in the schema, with its value."""
    for key, value in data.items():
        here = place(above, key)
        yield here, value
        if here == "workload":
            yield from keys_of(value, f"{here}({value['kind']})")
        elif isinstance(value, dict):
            yield from keys_of(value, here)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    yield from keys_of(item, f"{here}[]")
