"""Makes plain values from YAML nodes, and reports what YAML allows and adpkv does not.

Duplicate keys and unknown tags are reported, all of them. PyYAML would use the last of duplicate
keys, and stop at the first unknown tag.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from adpkv.config.core_schema import can_be_written, scalar

__all__ = ["Builder"]


class Builder:
    """Turns nodes into plain values and adds (line, problem) to `findings`. A node with aliases is
    built once."""

    def __init__(self, findings: list[tuple[int, str]]) -> None:
        self._findings = findings
        self._built: dict[int, object] = {}
        self._sizes: dict[int, int] = {}
        self._open: set[int] = set()

    def build(self, node: yaml.Node) -> object:
        """The plain value of `node`, with None in place of anything that has a finding."""
        if id(node) in self._built:
            return self._built[id(node)]
        if id(node) in self._open:
            self._find(node, "refers to itself")
            return None
        self._open.add(id(node))
        value = self._value(node)
        self._sizes[id(node)] = 1 + sum(self.size(child) for child in _children(node))
        self._open.discard(id(node))
        self._built[id(node)] = value
        return value

    def size(self, node: yaml.Node) -> int:
        """How many values a built node has, with an alias counted as all that it stands for."""
        return self._sizes.get(id(node), 0)

    def _value(self, node: yaml.Node) -> object:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item) for item in node.value]
        try:
            return scalar(node)
        except ValueError as error:
            self._find(node, str(error))
            return None

    def _mapping(self, node: yaml.MappingNode) -> dict[str, object]:
        merged: dict[str, object] = {}
        own: dict[str, object] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._find(key, "a key must be a single word")
            elif not can_be_written(key.value):
                self._find(key, f"the key {key.value!a} has a code point that is no character")
            elif key.tag.endswith(":merge"):
                merged = self._merged(value) | merged
            elif key.value in own:
                self._find(key, f"the key {key.value!r} appears twice")
            else:
                own[key.value] = self.build(value)
        return merged | own

    def _merged(self, node: yaml.Node) -> dict[str, object]:
        value = self.build(node)
        parts = value if isinstance(value, list) else [value]
        found: dict[str, object] = {}
        for part in parts:
            if isinstance(part, dict):
                found = part | found
            else:
                self._find(node, "only mappings can be merged with <<")
        return found

    def _find(self, node: yaml.Node, text: str) -> None:
        self._findings.append((node.start_mark.line + 1, text))


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield value
