"""Makes native classes of structures, in the copy of the sources that mypyc compiles.

mypyc does not know msgspec: a structure stays an ordinary Python object for it, whose fields are
looked up by name each time. As a native class it has them in the fields of a C struct. In plain
Python a structure of msgspec is made faster than any class with an `__init__`, so the sources keep
it. Here its text is changed: base and options go, and a blank line behind it becomes `__init__`,
one before it says that the cycle collector needs not look at it. So every line keeps its number,
for tracebacks.

Only what stays inside a process: msgspec writes and reads no native class. Structures beside
functions that are to be compiled, and which are sent or written, are taken from a copy of their
module that is not compiled.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from pathlib import Path
from typing import Final

__all__ = ["NATIVE", "made_native", "make_native"]

NATIVE: Final[dict[str, tuple[str, ...]]] = {
    "core/failure_memory.py": ("FailureRow",),
    "core/health.py": ("HealthInputs",),
    "core/ownership.py": (),
    "core/plan.py": ("GroupInput", "Refusal", "Plan"),
    "core/rank_failure.py": (),
    "executor/collectives.py": (
        *("Operation", "Collective", "Elapsed", "Step", "Wait", "Pause", "Gone", "Receive"),
    ),
    "model/port.py": ("Batch",),
    "output/events.py": (),
    "traces/mooncake.py": (),
}
"""The files with structures that are compiled, and which of these become native classes."""

COPY: Final = "_structures"
"""The end of the name of a module that has the others, beside the one that is compiled."""

BASE: Final = "_NativeValue"
CLASS_VAR: Final = "_ClassVar"
ATTR: Final = "_mypyc_attr"
IMPORT: Final = (
    f"; from adpkv.native_value import NativeValue as {BASE}"
    f"; from adpkv.subclassing import mypyc_attr as {ATTR}"
    f"; from typing import ClassVar as {CLASS_VAR}"
)


def make_native(package: Path) -> list[Path]:
    """Change all of these files of a folder `adpkv`; returns the copies that were made."""
    copies = []
    for name, native in NATIVE.items():
        file = package / name
        text = file.read_text("utf-8")
        copy = file.with_name(file.stem + COPY + ".py")
        module = ".".join((package.name, *copy.relative_to(package).with_suffix("").parts))
        changed, kept = made_native(text, native, module)
        file.write_text(changed, "utf-8")
        if kept:
            copy.write_text(text, "utf-8")
            copies.append(copy)
    return copies


def made_native(text: str, native: Collection[str], copy: str) -> tuple[str, list[str]]:
    """The text of a module, line for line, with these structures as native classes; and which
    others it has, which it takes from the module `copy`."""
    lines = text.split("\n")
    made: dict[str, list[ast.AnnAssign]] = {}
    kept: list[str] = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import) and node.names[0].name == "msgspec":
            lines[node.lineno - 1] += IMPORT
        if not isinstance(node, ast.ClassDef) or (base := _base(node, made, kept)) is None:
            continue
        if node.name in native:
            own = [one for one in node.body if isinstance(one, ast.AnnAssign)]
            made[node.name] = [*made.get(base, ()), *own]
            _change(lines, node, made[node.name], base)
        else:
            kept.append(node.name)
            _take(lines, node, copy)
    return "\n".join(lines), kept


def _take(lines: list[str], node: ast.ClassDef, copy: str) -> None:
    assert node.end_lineno is not None
    first = node.lineno - 1
    length = node.end_lineno - first
    lines[first : first + length] = [f"from {copy} import {node.name}", *[""] * (length - 1)]


def _base(node: ast.ClassDef, made: Collection[str], kept: Collection[str]) -> str | None:
    """The base of a structure; None of another class."""
    for base in node.bases:
        name = ast.unparse(base)
        if name == "msgspec.Struct":
            return BASE
        if name in made or name in kept:
            return name
    return None


def _change(lines: list[str], node: ast.ClassDef, fields: list[ast.AnnAssign], base: str) -> None:
    body = node.body[0]
    first, last = node.lineno - 1, node.end_lineno
    assert last is not None
    if body.lineno != node.lineno + 1 or [lines[first - 1], *lines[last : last + 1]] != ["", ""]:
        raise SyntaxError(f"{node.name}: no room for the method of a native class")
    if any(one.arg == "gc" for one in node.keywords):  # it says gc=False
        lines[first - 1] = f"@{ATTR}(acyclic=True)"
    lines[first] = f"class {node.name}({base}):"
    names = [ast.unparse(one.target) for one in fields]
    told = "".join(f"{name!r}, " for name in names)
    assert isinstance(body, ast.Expr)  # its docstring
    assert body.end_lineno is not None
    lines[body.end_lineno - 1] += f"; __match_args__: {CLASS_VAR}[tuple[str, ...]] = ({told})"
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and one.value is not None:
            _drop_default(lines, one)
    lines[last] = f"    {_init(fields)}"


def _drop_default(lines: list[str], field: ast.AnnAssign) -> None:
    """Leave the bare annotation: `__init__` has the default."""
    place, value = field.annotation, field.value
    assert place.end_lineno is not None
    assert value is not None
    assert value.end_lineno is not None
    at = place.end_lineno - 1
    lines[at] = lines[at][: place.end_col_offset]
    for later in range(at + 1, value.end_lineno):
        lines[later] = ""


def _init(fields: list[ast.AnnAssign]) -> str:
    told, body = ["self"], []
    for one in fields:
        name, kind = ast.unparse(one.target), ast.unparse(one.annotation)
        value = name
        if one.value is None:
            told.append(f"{name}: {kind}")
        elif isinstance(one.value, ast.Dict | ast.List | ast.Call):
            told.append(f"{name}: {kind} | None = None")
            value = f"{ast.unparse(one.value)} if {name} is None else {name}"
        else:
            told.append(f"{name}: {kind} = {ast.unparse(one.value)}")
        body.append(f"self.{name} = {value}")
    return f"def __init__({', '.join(told)}) -> None: {'; '.join(body) or 'pass'}"
