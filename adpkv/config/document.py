"""Reads and writes YAML, and finds the line of each value.

Line numbers are looked up in the node tree only when a problem needs one, so a valid file costs no
extra time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import yaml

from adpkv.config.core_schema import Dumper, Loader
from adpkv.config.nodes import Builder

__all__ = ["Document", "Key", "Malformed", "parse_scalar", "read", "write"]

MOST_VALUES: Final = 1_000_000
"""The most values in a document. A file within the size limit has fewer, but with aliases, which
count as what they stand for, a few lines can make millions."""

Key = str | int
"""One element of a path: a mapping's key or a list's index."""


class Malformed(Exception):  # noqa: N818 - internal; it becomes part of a ConfigError
    """The text is not YAML, or not YAML that is accepted here. `line` counts from 1; None if it is
    not known."""

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text)
        self.text, self.line = text, line


class Document(msgspec.Struct):
    """The values of one YAML text, and the lines where they are."""

    root: yaml.Node
    data: object = None
    findings: list[tuple[int, str]] = msgspec.field(default_factory=list)
    """(line, what is wrong) of things that YAML allows and adpkv does not, such as duplicate
    keys."""

    def line_of(self, path: Sequence[Key]) -> int | None:
        """The line of the value at `path`, or of the innermost existing section around it; None if
        there is none."""
        node, line = self.root, None
        for key in path:
            below, at = _below(node, key)
            line = at if at is not None else line
            if below is None:
                break
            node = below
        return line


def read(text: str) -> Document:
    """Read one YAML document.

    Raises:
        Malformed: the text is not YAML, has several documents or none, or has too many values.
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
        Malformed: the text is not YAML, or `read` has a finding about it.
    """
    if not text.strip():
        return None
    document = read(text)
    if document.findings:
        raise Malformed(document.findings[0][1])
    return document.data


def write(data: object) -> str:
    """The YAML text of plain values, in their order. `read` of it gives the same values."""
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
