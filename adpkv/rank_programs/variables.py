"""Local variables as short text: what ranks are compared by, and what a report quotes.

Nothing of the program is called: no `repr` of its classes, no property. So looking changes nothing.
"""

from __future__ import annotations

import ast
import linecache
from collections import deque
from types import FrameType, FunctionType, ModuleType
from typing import Any, Final

__all__ = ["LONGEST", "line_of", "read", "text_of", "words_of"]

LONGEST: Final = 60
"""Characters of one value."""

MOST: Final = 200
"""Variables of one frame."""

_PLAIN: Final = (int, float, complex, bool, str, bytes, type(None))
_SIZED: Final = (list, tuple, set, frozenset, dict, deque)


def text_of(value: Any) -> str:
    """A value in a few characters."""
    kind = type(value)
    if kind in _PLAIN:
        return _cut(repr(value))
    if kind in _SIZED:
        return _of_sized(value)
    if kind.__name__ in ("Tensor", "Parameter", "ndarray") and hasattr(value, "shape"):
        return _of_tensor(value)
    label = getattr(kind, "adpkv_label", None)
    if label is not None:
        return str(label(value))
    if isinstance(value, type):
        return f"class {value.__name__}"
    return f"{kind.__name__} object"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 4] + " ..."


def _of_sized(value: Any) -> str:
    items = list(value.items()) if isinstance(value, dict) else list(value)
    flat = [part for item in items for part in item] if isinstance(value, dict) else items
    if len(flat) <= 8 and all(type(part) in _PLAIN for part in flat):
        return _cut(repr(value))
    return f"{type(value).__name__} of {len(items)}"


def _of_tensor(value: Any) -> str:
    kind = str(value.dtype).removeprefix("torch.")
    shape = list(value.shape)
    size = 1
    for length in shape:
        size *= length
    if size > 4 or not hasattr(value, "tolist"):
        return f"tensor {shape} {kind}"
    return _cut(f"tensor {value.tolist()} {kind}")


def line_of(file: str, line: int) -> str:
    """A line of a source file without its indentation; empty if it cannot be read."""
    return linecache.getline(file, line).strip()


def words_of(file: str, line: int) -> list[str]:
    """The names and attributes that the statement of this line reads: `n`, `self.queue`. Of a
    compound statement its condition alone."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return []
    found: ast.AST | None = None
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt) or not node.lineno <= line <= (node.end_lineno or line):
            continue
        # In `if x: return`, on one line, the condition decides; it is met before what it guards.
        if found is None or node.lineno > getattr(found, "lineno", 0):
            found = node
    if found is None:
        return []
    parts: list[ast.AST] = [found]
    if isinstance(found, ast.If | ast.While):
        parts = [found.test]
    elif isinstance(found, ast.For):
        parts = [found.iter]
    words: dict[str, None] = {}
    for part in parts:
        for node in ast.walk(part):
            word = _dotted(node)
            if word:
                words.setdefault(word)
    return list(words)


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def read(frame: FrameType) -> dict[str, str]:
    """The local variables of a frame, and what its line reads besides."""
    found: dict[str, str] = {}
    for name, value in list(frame.f_locals.items())[:MOST]:
        if not isinstance(value, ModuleType | FunctionType | type) and name[:2] != "__":
            found[name] = text_of(value)
    for word in words_of(frame.f_code.co_filename, frame.f_lineno):
        if word not in found:
            there, value = _looked_up(frame, word)
            if there and not callable(value) and not isinstance(value, ModuleType):
                found[word] = text_of(value)
    return found


def _looked_up(frame: FrameType, word: str) -> tuple[bool, Any]:
    name, *rest = word.split(".")
    if name in frame.f_locals:
        value = frame.f_locals[name]
    elif name in frame.f_globals:
        value = frame.f_globals[name]
    else:
        return False, None
    for part in rest:
        fields = getattr(value, "__dict__", None)
        if not isinstance(fields, dict) or part not in fields:
            return False, None
        value = fields[part]
    return True, value
