"""Makes native classes of structures, in the copy of the sources that mypyc compiles.

mypyc does not know msgspec: a structure stays an ordinary Python object for it, whose fields are
looked up by name each time. As a native class it has them in the fields of a C struct. In plain
Python a structure of msgspec is made faster than any class with an `__init__`, so the sources keep
it. Here its text is changed: base and options go, and a blank line behind it becomes `__init__`,
one before it says that the cycle collector needs not look at it. So every line keeps its number,
for tracebacks.

Only what stays inside a process: msgspec writes and reads no native class. Structures beside
functions that are to be compiled, and which are sent or written, or that users get (`Batch`), are
taken from a copy of their module that is not compiled.

Fields of a frozen structure become final ones: nobody can assign them here either. Any other has
no hash, as there. What else a structure may say and a native class would not do is refused
(`_refuse`), not left out in silence.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from pathlib import Path
from typing import Final

__all__ = ["NATIVE", "made_native", "make_native"]

NATIVE: Final[dict[str, tuple[str, ...]]] = {
    "core/admission.py": ("AdmissionLine",),
    "core/failure_memory.py": ("FailureRow",),
    "core/health.py": ("HealthInputs",),
    "core/ownership.py": (),
    "core/plan.py": ("GroupInput", "Refusal", "Plan"),
    "core/rank_failure.py": (),
    "core/request.py": ("RequestLine",),
    "core/session.py": ("Line",),
    "executor/collectives.py": (
        *("Operation", "Collective", "Elapsed", "Step", "Wait", "Pause", "Gone", "Receive"),
    ),
    "model/port.py": (),
    "traces/mooncake.py": (),
}
"""The files with structures that are compiled, and which of these become native classes."""

COPY: Final = "_structures"
"""The end of the name of a module that has the others, beside the one that is compiled."""

BASE: Final = "_NativeValue"
CLASS_VAR: Final = "_ClassVar"
FINAL: Final = "_Final"
ATTR: Final = "_mypyc_attr"
IMPORT: Final = (
    f"; from adpkv.native_value import NativeValue as {BASE}"
    f"; from adpkv.subclassing import mypyc_attr as {ATTR}"
    f"; from typing import ClassVar as {CLASS_VAR}, Final as {FINAL}"
)

OPTIONS: Final = {"frozen": (True, False), "gc": (False,), "array_like": (True, False)}
"""What a structure may say of itself, and how; `array_like` is only for those who write it."""

EMPTY: Final = ("{}", "[]", "set()", "bytearray()")
"""Defaults that msgspec makes anew for each."""

PLAIN: Final = (ast.Constant, ast.Name, ast.Attribute, ast.Tuple, ast.UnaryOp, ast.BinOp)
"""Other defaults: those that all may share."""

OWN: Final = ("__init__", "__post_init__")
"""Methods that a native class would have twice, or never call."""


def make_native(package: Path) -> list[Path]:
    """Change all of these files of a folder `adpkv`; returns the copies that were made."""
    copies = []
    for name, native in NATIVE.items():
        file = package / name
        text = file.read_text("utf-8")
        copy = file.with_name(file.stem + COPY + ".py")
        module = ".".join((package.name, *copy.relative_to(package).with_suffix("").parts))
        changed, kept = made_native(text, native, module, name)
        file.write_text(changed, "utf-8")
        if kept:
            copy.write_text(text, "utf-8")
            copies.append(copy)
    return copies


def made_native(text: str, native: Collection[str], copy: str, file: str) -> tuple[str, list[str]]:
    """The text of a module, line for line, with these structures as native classes; and which
    others it has, which it takes from the module `copy`.

    Raises:
        SyntaxError: something in it would become something else; with file, class and reason.
    """
    lines = text.split("\n")
    made: dict[str, list[ast.AnnAssign]] = {}
    kept: list[str] = []
    tree = ast.parse(text)
    try:
        _refuse_other_imports(tree)
        for node in tree.body:
            if isinstance(node, ast.Import) and node.names[0].name == "msgspec":
                lines[node.lineno - 1] += IMPORT
            if not isinstance(node, ast.ClassDef) or (base := _base(node, made, kept)) is None:
                continue
            if node.name in native:
                own = [one for one in node.body if isinstance(one, ast.AnnAssign)]
                made[node.name] = [*made.get(base, ()), *own]
                _refuse(node, made[node.name], own, base)
                _change(lines, node, made[node.name], base)
            else:
                _need(base not in made, node.name, f"its base {base} is a native class")
                kept.append(node.name)
                _take(lines, node, copy)
        for name in native:
            _need(name in made, name, "the file has no structure of this name")
    except SyntaxError as error:
        raise SyntaxError(f"{file}: {error}") from None
    return "\n".join(lines), kept


def _need(right: bool, name: str, reason: str) -> None:
    if not right:
        raise SyntaxError(f"{name}: {reason}")


def _refuse_other_imports(tree: ast.Module) -> None:
    """Structures are known by their base `msgspec.Struct`, in the module itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "msgspec":
            names = [one.name for one in node.names]
            _need("Struct" not in names, "Struct", "import msgspec, and derive from msgspec.Struct")
        elif isinstance(node, ast.Import) and any(one.name == "msgspec" for one in node.names):
            alone = len(node.names) == 1 and node.names[0].asname is None and node in tree.body
            _need(alone, "msgspec", "import it alone, by its name, at the top")
        elif isinstance(node, ast.ClassDef) and node not in tree.body:
            bases = [ast.unparse(one) for one in node.bases]
            _need("msgspec.Struct" not in bases, node.name, "a structure inside of something")


def _refuse(
    node: ast.ClassDef, fields: list[ast.AnnAssign], own: list[ast.AnnAssign], base: str
) -> None:
    """Refuse what a native class would not do."""
    name = node.name
    _need(len(node.bases) == 1, name, "several bases")
    for option in node.keywords:
        told = ast.unparse(option)
        value = option.value.value if isinstance(option.value, ast.Constant) else None
        _need(value in OPTIONS.get(option.arg or "", ()), name, f"{told} is not understood")
    _need(not _is_frozen(node) or base == BASE, name, "frozen, with fields of its base")
    for one in node.body:
        if isinstance(one, ast.FunctionDef):
            _need(one.name not in OWN, name, f"it has {one.name}")
    names = [ast.unparse(one.target) for one in fields]
    _need(len(set(names)) == len(names), name, "a field of its base again")
    defaults = [one.value is not None for one in fields]
    _need(defaults == sorted(defaults), name, "a field without default behind one with a default")
    for one in own:
        kind, field = ast.unparse(one.annotation), ast.unparse(one.target)
        _need("ClassVar" not in kind, name, f"{field} is no field")
        if one.value is None:
            continue
        anew, default = _is_made_anew(one.value), ast.unparse(one.value)
        shared = isinstance(one.value, PLAIN) or default == "frozenset()"
        _need(anew or shared, name, f"{field} = {default} is not understood")
        _need(not (anew and "None" in kind), name, f"{field} = {default}, where None is a value")


def _is_frozen(node: ast.ClassDef) -> bool:
    return any(ast.unparse(one) == "frozen=True" for one in node.keywords)


def _is_made_anew(default: ast.expr) -> bool:
    return ast.unparse(default) in EMPTY


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
    room = body.lineno == node.lineno + 1
    room = room and [lines[first - 1], *lines[last : last + 1]] == ["", ""]
    _need(room, node.name, "no room for the method of a native class")
    _need(ast.get_docstring(node) is not None, node.name, "no docstring")
    if any(one.arg == "gc" for one in node.keywords):  # it says gc=False
        lines[first - 1] = f"@{ATTR}(acyclic=True)"
    lines[first] = f"class {node.name}({base}):"
    names = [ast.unparse(one.target) for one in fields]
    told = "".join(f"{name!r}, " for name in names)
    assert body.end_lineno is not None
    lines[body.end_lineno - 1] += f"; __match_args__: {CLASS_VAR}[tuple[str, ...]] = ({told})"
    if _is_frozen(node):
        lines[body.end_lineno - 1] += f"; __frozen__: {CLASS_VAR}[bool] = True"
    for one in node.body:
        if isinstance(one, ast.AnnAssign):
            if one.value is not None:
                _drop_default(lines, one)
            if _is_frozen(node):
                _make_final(lines, one.annotation)
    lines[last] = f"    {_init(fields)}"


def _make_final(lines: list[str], kind: ast.expr) -> None:
    """Nothing but `__init__` assigns the field: mypyc makes no setter of it."""
    assert kind.end_lineno is not None
    assert kind.end_col_offset is not None
    for line, at, put in (
        (kind.end_lineno - 1, kind.end_col_offset, "]"),
        (kind.lineno - 1, kind.col_offset, f"{FINAL}["),
    ):
        lines[line] = lines[line][:at] + put + lines[line][at:]


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
        elif _is_made_anew(one.value):
            told.append(f"{name}: {kind} | None = None")
            value = f"{ast.unparse(one.value)} if {name} is None else {name}"
        else:
            told.append(f"{name}: {kind} = {ast.unparse(one.value)}")
        body.append(f"self.{name} = {value}")
    return f"def __init__({', '.join(told)}) -> None: {'; '.join(body) or 'pass'}"
