"""Makes the reference tables of docs/configuration.md from the models.

`python -m adpkv.config.reference docs/configuration.md` rewrites the text between the two marks in
the file. A test fails if the file is out of date.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from adpkv.config import units
from adpkv.config.address import ADDRESS_PATTERN
from adpkv.config.base import LARGEST
from adpkv.config.checks.bounds import BOUNDS_PATTERN
from adpkv.config.schema import json_schema
from adpkv.errors import UsageError
from adpkv.exit_codes import ExitCode
from adpkv.plugins import NAME_PATTERN

__all__ = ["BEGIN", "END", "rewritten", "tables"]

BEGIN: Final = "<!-- reference: made by python -m adpkv.config.reference -->"
END: Final = "<!-- end of reference -->"

LONG_SECTION: Final = 5
"""A nested section with at least so many keys is shown only where it occurs first."""

WIDTH: Final = 100
"""Columns of the prose between the tables."""

_HEAD: Final = ("| key | value | default | meaning |", "|---|---|---|---|")
_PATTERNS: Final[Mapping[str, str]] = {
    units.DURATION_PATTERN: "duration",
    units.SIZE_PATTERN: "size",
    ADDRESS_PATTERN: "HOST:PORT",
    BOUNDS_PATTERN: "count or range",
    NAME_PATTERN: "a name",
}
_DEFAULT_TEXTS: Final[Mapping[str, str]] = {
    "transceiver.shutdown_grace": "2 × progress_deadline",
    "workload.cancel.delay": "0s to 1s",
}
"""The defaults that are not in the JSON Schema, because they are computed."""

Schema = Mapping[str, Any]


def tables() -> str:
    """The tables as Markdown: one per section, and one per kind of workload and model."""
    schema = json_schema()
    lines = ["### Top level", "", *_HEAD]
    sections: list[tuple[str, str, Schema]] = []
    for key, field in schema["properties"].items():
        lines.append(_row(key, field, schema, key, key in schema["required"]))
        sections += _sections(key, field, schema)
    for title, prefix, section in sections:
        about = " ".join(section["description"].split("\n\n")[0].split())
        rows = list(_rows(prefix, section, schema, []))
        lines += ["", f"### {title}", "", *textwrap.wrap(about, WIDTH), ""]
        lines += [*_HEAD, *rows]
    return "\n".join(lines)


def rewritten(text: str) -> str:
    """`text` with new tables between its marks.

    Raises:
        UsageError: the two marks are not there in this order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UsageError(f"the file needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def _sections(key: str, field: Schema, schema: Schema) -> Iterator[tuple[str, str, Schema]]:
    """(title, path, schema) of the sections that a top-level key leads to."""
    if "oneOf" in field:
        for choice in field["oneOf"]:
            section = _resolved(choice, schema)
            kind = section["properties"]["kind"].get("const", "MODULE:FACTORY")
            yield f"`{key}`, kind `{kind}`", key, section
        return
    item = _resolved(_not_null(field.get("items", field)), schema)
    if "additionalProperties" in item:
        yield f"`{key}`", f"{key}.N" if "items" in field else key, item


def _rows(prefix: str, section: Schema, schema: Schema, told: list[Schema]) -> Iterator[str]:
    """One row per key. The keys of a nested section are in the same table; those of a long one only
    the first time. `told` collects the long ones shown so far."""
    for name, field in section.get("properties", {}).items():
        path = f"{prefix}.{name}"
        required = name in section.get("required", ())
        inner = _resolved(_not_null(field), schema)
        entry = _resolved(inner.get("items", {}), schema)
        yield _row(path, field, schema, path, required)
        if "properties" in inner and inner not in told:
            told += [inner] if len(inner["properties"]) >= LONG_SECTION else []
            yield from _rows(path, inner, schema, told)
        elif "properties" in entry:
            yield from _rows(f"{path}.N", entry, schema, told)


def _row(shown: str, field: Schema, schema: Schema, path: str, required: bool) -> str:
    if required:
        default = "required"
    elif path in _DEFAULT_TEXTS:
        default = _DEFAULT_TEXTS[path]
    elif "default" in field:
        value = field["default"]
        default = f"`{value if isinstance(value, str) else json.dumps(value)}`"
    else:
        default = "see below" if "." not in path else "as its keys"
    return f"| `{shown}` | {_kind(field, schema)} | {default} | {field.get('description', '')} |"


def _kind(field: Schema, schema: Schema) -> str:
    """A short text of what values a key takes."""
    inner = _not_null(field)
    if any(choice.get("pattern") == NAME_PATTERN for choice in field.get("anyOf", ())):
        return f"{_kind(inner, schema)} or a name"
    if inner is not field:
        return f"{_kind(inner, schema)}, or null"
    if "$ref" in field or "oneOf" in field:
        return "section"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " or ".join(f"`{choice}`" for choice in field["enum"])
    match field.get("type"):
        case "array":
            return f"list ({_kind(field['items'], schema)})"
        case "string" | ["integer", "string"]:
            return _PATTERNS.get(field.get("pattern", ""), "text")
        case "boolean":
            return "true or false"
        case "object":
            return "mapping"
        case "integer":
            return f"whole number{_bounds(field)}"
    return f"number{_bounds(field)}"


def _bounds(field: Schema) -> str:
    parts = []
    if "minimum" in field:
        parts.append(f"≥ {_number(field['minimum'])}")
    if "exclusiveMinimum" in field:
        parts.append(f"> {_number(field['exclusiveMinimum'])}")
    if field.get("maximum", LARGEST) != LARGEST:
        parts.append(f"≤ {_number(field['maximum'])}")
    return f" {', '.join(parts)}" if parts else ""


def _number(number: float) -> str:
    """Not rounded: the most that is allowed is what is said."""
    return f"{number:,d}" if isinstance(number, int) else f"{number:,.15g}"


def _not_null(field: Schema) -> Schema:
    """The schema of an optional field without its null."""
    choices = [choice for choice in field.get("anyOf", ()) if choice.get("type") != "null"]
    return choices[0] if choices else field


def _resolved(field: Schema, schema: Schema) -> Schema:
    reference: str = field.get("$ref", "")
    found: Schema = schema["$defs"][reference.rpartition("/")[2]] if reference else field
    return found


def _main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m adpkv.config.reference docs/configuration.md\n")
        return ExitCode.USAGE
    path = Path(arguments[0])
    path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
    return ExitCode.COMPLETED


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
