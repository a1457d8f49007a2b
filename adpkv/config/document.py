"""Reading and writing YAML so that every value can be traced back to its line.

Line numbers are looked up in the node tree when a problem needs one, so they cost nothing when
all is well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import yaml

from adpkv.config.core_schema import Dumper, Loader
from adpkv.config.nodes import Builder

__all__ = ["Document", "Key", "Malformed", "parse_scalar", "read", "write"]

MOST_VALUES: Final = 1_000_000
"""More than a file can have that is read, but for its aliases: each counts as what it stands for,
and a few lines of aliases of aliases are millions."""

Key = str | int
"""One step of a path: a mapping's key or a list's index."""


class Malformed(Exception):  # noqa: N818 - it is a finding on its way to a ConfigError
    """The text is not YAML that we read; the message may begin with a line number."""

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text)
        self.text, self.line = text, line


@dataclass(slots=True)
class Document:
    """The values of one YAML text, and where each stands."""

    root: yaml.Node
    data: object = None
    findings: list[tuple[int, str]] = field(default_factory=list)
    """(line, what is wrong) of what YAML allows and we don't, such as duplicate keys."""

    def line_of(self, path: Sequence[Key]) -> int | None:
        """The line of the value at `path`, or of the nearest thing around it that exists."""
        node, line = self.root, None
        for key in path:
            below, at = _below(node, key)
            line = at if at is not None else line
            if below is None:
                break
            node = below
        return line


def read(text: str) -> Document:
    """Compose one YAML document.

    Raises:
        Malformed: not YAML, several documents, nothing in it, or too much of it.
    """
    try:
        root = Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        said = [error.context, error.problem]
        raise Malformed(", ".join(part for part in said if part), line) from None
    except yaml.YAMLError as error:
        raise Malformed(" ".join(str(error).split())) from None
    if root is None:
        raise Malformed("nothing in it")
    document = Document(root)
    builder = Builder(document.findings)
    document.data = builder.build(root)
    if builder.size(root) > MOST_VALUES:
        raise Malformed(f"its aliases make {builder.size(root):,} values; most is {MOST_VALUES:,}")
    return document


def parse_scalar(text: str) -> object:
    """The value of a YAML fragment such as `4`, `60s` or `{min: 1, max: 2}`; empty means null.

    Raises:
        Malformed: not YAML, or something that `read` would have a finding about.
    """
    if not text.strip():
        return None
    document = read(text)
    if document.findings:
        raise Malformed(document.findings[0][1])
    return document.data


def write(data: object) -> str:
    """YAML of plain values, in their own order; `read` gives the same values back."""
    return str(yaml.dump(data, Dumper=Dumper))


def _below(node: yaml.Node, key: Key) -> tuple[yaml.Node | None, int | None]:
    """The child of `node` under `key`, and the line of the key that leads to it."""
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int):
        if key < len(node.value):
            child = node.value[key]
            return child, child.start_mark.line + 1
    elif isinstance(node, yaml.MappingNode):
        for name, child in node.value:
            if name.value == key:
                return child, name.start_mark.line + 1
        for name, child in node.value:
            if name.tag.endswith(":merge"):
                parts = child.value if isinstance(child, yaml.SequenceNode) else [child]
                for part in parts:
                    found = _below(part, key)
                    if found[0] is not None:
                        return found
    return None, None
