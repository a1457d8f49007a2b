"""YAML 1.2's core schema on top of PyYAML's parser, for reading and writing.

PyYAML itself implements YAML 1.1, where `on` is true, `010` is eight, `1:30` is ninety and `1e3` is
text. In the core schema `on` and `1:30` are text, `010` is ten and `1e3` is a number.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

__all__ = ["MOST_DEEP", "Dumper", "Loader", "TooDeepError", "can_be_written", "scalar"]

MOST_DEEP: Final = 64
"""How deep lists and mappings may be nested; several times what any experiment has."""

_LIST_TAG: Final = "tag:yaml.org,2002:seq"
_INT: Final = re.compile(r"[-+]?[0-9]+(?:_[0-9]+)*\Z")
_FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z|[-+]?\.(?:inf|Inf|INF)\Z"
    r"|\.(?:nan|NaN|NAN)$"
)
_BOOL: Final = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_NULL: Final = re.compile(r"(?:~|null|Null|NULL|)\Z")


class _CoreSchema(yaml.resolver.BaseResolver):
    """Which plain scalars are numbers, truth values or null; shared by reading and writing."""


for _tag, _pattern, _first in (
    # The first pattern that fits wins; every integer also fits the pattern of floats.
    ("int", _INT, list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
    ("bool", _BOOL, list("tTfF")),
    ("null", _NULL, ["~", "n", "N", ""]),
    ("merge", re.compile(r"<<\Z"), ["<"]),
):
    _CoreSchema.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, _first)


class TooDeepError(yaml.MarkedYAMLError):
    """Lists and mappings are nested deeper than `MOST_DEEP`."""


class Loader(
    yaml.reader.Reader,
    yaml.scanner.Scanner,
    yaml.parser.Parser,
    yaml.composer.Composer,
    _CoreSchema,
):
    """Reads text into PyYAML nodes, of which `config.nodes` makes values."""

    def __init__(self, text: str) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)
        yaml.composer.Composer.__init__(self)
        _CoreSchema.__init__(self)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As PyYAML's, but with a limit on the depth; PyYAML's raises RecursionError.

        Raises:
            TooDeepError: the text is nested too deeply.
        """
        if self._depth == MOST_DEEP:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise TooDeepError(problem=f"nested more than {MOST_DEEP} deep", problem_mark=mark)
        self._depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


class Dumper(
    yaml.emitter.Emitter,
    yaml.serializer.Serializer,
    yaml.representer.SafeRepresenter,
    _CoreSchema,
):
    """Writes plain values; a text is quoted only if it would be read as something else."""

    def __init__(self, stream: Any, **options: object) -> None:
        yaml.emitter.Emitter.__init__(self, stream, width=100, allow_unicode=True)
        yaml.serializer.Serializer.__init__(self)
        yaml.representer.SafeRepresenter.__init__(self, sort_keys=False)
        _CoreSchema.__init__(self)

    def ignore_aliases(self, data: object) -> bool:
        """Write equal values twice instead of with an alias such as `*id001`."""
        return True


Dumper.add_representer(tuple, lambda dumper, data: dumper.represent_sequence(_LIST_TAG, data))


def can_be_written(text: str) -> bool:
    """Whether a text can be encoded as UTF-8: it has no unpaired surrogate, such as `"\\ud800"`."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def scalar(node: yaml.Node) -> object:
    """The value of a scalar node.

    Raises:
        ValueError: its tag is not in the core schema, or does not fit its text.
    """
    tag, text = node.tag.rpartition(":")[2], node.value
    if not can_be_written(text):
        raise ValueError(f"{text!a} has a code point that is no character")
    match tag:
        case "str":
            return text
        case "int" if len(text) < 100 and _INT.match(text):
            return int(text)
        case "float" if _FLOAT.match(text) or _INT.match(text):
            return float(text.replace(".inf", "inf").replace(".nan", "nan").lower())
        case "bool" if _BOOL.match(text):
            return text.lower() == "true"
        case "null" if _NULL.match(text):
            return None
    raise ValueError(f"{text[:40]!r} with the tag {node.tag!r} is not understood here")
