"""Makes native classes of structures, in the copy of the sources that mypyc compiles.

mypyc does not know msgspec: a structure stays an ordinary Python object for it, whose fields are
looked up by name each time. As a native class it has them in the fields of a C struct. In plain
Python a structure of msgspec is made faster than any class with an `__init__`, so the sources keep
it. Here its text is changed: base and options go, and the blank lines behind it, of which there are
two, become `__init__` and `__eq__`. So every line keeps its number, for tracebacks.

Only for what stays inside a process: msgspec writes and reads no native class.
"""

from __future__ import annotations

import ast
from typing import Final

__all__ = ["NATIVE", "made_native"]

NATIVE: Final = ("executor/collectives.py", "model/port.py")
"""The files whose structures become native classes: all of them, whoever else has the like."""

BASE: Final = "_NativeValue"
CLASS_VAR: Final = "_ClassVar"
IMPORT: Final = (
    f"; from adpkv.native_value import NativeValue as {BASE}"
    f"; from typing import ClassVar as {CLASS_VAR}"
)


def made_native(text: str) -> str:
    """The text of a module with its structures as native classes, line for line."""
    lines = text.split("\n")
    made: dict[str, list[ast.AnnAssign]] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import) and node.names[0].name == "msgspec":
            lines[node.lineno - 1] += IMPORT
        if isinstance(node, ast.ClassDef) and (base := _base(node, made)) is not None:
            own = [one for one in node.body if isinstance(one, ast.AnnAssign)]
            made[node.name] = [*made.get(base, ()), *own]
            _change(lines, node, made[node.name], base)
    return "\n".join(lines)


def _base(node: ast.ClassDef, made: dict[str, list[ast.AnnAssign]]) -> str | None:
    """The base of a structure; None of another class."""
    for base in node.bases:
        name = ast.unparse(base)
        if name == "msgspec.Struct":
            return BASE
        if name in made:
            return name
    return None


def _change(lines: list[str], node: ast.ClassDef, fields: list[ast.AnnAssign], base: str) -> None:
    body = node.body[0]
    first, last = node.lineno - 1, node.end_lineno
    assert last is not None
    if body.lineno != node.lineno + 1 or lines[last : last + 2] not in ([""], ["", ""]):
        raise SyntaxError(f"{node.name}: no room for the methods of a native class")
    lines[first] = f"class {node.name}({base}):"
    names = [ast.unparse(one.target) for one in fields]
    told = "".join(f"{name!r}, " for name in names)
    assert isinstance(body, ast.Expr)  # its docstring
    assert body.end_lineno is not None
    lines[body.end_lineno - 1] += f"; __match_args__: {CLASS_VAR}[tuple[str, ...]] = ({told})"
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and one.value is not None:
            _drop_default(lines, one)
    lines[last : last + 2] = [f"    {_init(fields)}", f"    {_eq(node.name, names)}"]


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
        elif isinstance(one.value, ast.Dict | ast.List | ast.Set):
            told.append(f"{name}: {kind} | None = None")
            value = f"{ast.unparse(one.value)} if {name} is None else {name}"
        else:
            told.append(f"{name}: {kind} = {ast.unparse(one.value)}")
        body.append(f"self.{name} = {value}")
    return f"def __init__({', '.join(told)}) -> None: {'; '.join(body) or 'pass'}"


def _eq(kind: str, names: list[str]) -> str:
    same = "".join(f" and self.{name} == other.{name}" for name in names)
    return f"def __eq__(self, other: object) -> bool: return isinstance(other, {kind}){same}"
