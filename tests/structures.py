"""The structures of msgspec in adpkv's sources, and the calls that make one by place.

A structure is made by place where it is made often: each keyword costs some hundred instructions.
Then the order of its fields is part of each call, and nothing at run time says so if two of the
same type change places. `wrong` reads the sources: the arguments fit in number, and one that is
called as a field stands at that field's place. Calls through a variable are not seen.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

__all__ = ["ON_PURPOSE", "Call", "Made", "Structure", "made_by_place", "misplaced", "read", "wrong"]

Key = tuple[str, str]
"""(module, name) of a class."""

_STRUCT: Final = ("msgspec", "Struct")

Misplaced = tuple[str, str, str, str]
"""(module, structure, field, argument): the argument is called as another field of it."""

ON_PURPOSE: Final[frozenset[Misplaced]] = frozenset(
    {
        ("adpkv.executor.collectives", "Step", "work", "batch"),
        ("adpkv.executor.collectives", "Collective", "payload", "iteration"),
        ("adpkv.exploration.campaign", "Plan", "strategy", "name"),
        ("adpkv.exploration.batch", "Task", "first", "last"),
    }
)
"""Those that are right."""


@dataclass(frozen=True)
class Structure:
    """One class of them."""

    module: str
    name: str
    fields: tuple[str, ...]
    types: Mapping[str, str]
    """As they are written."""
    defaults: frozenset[str]
    """The fields that may be left out."""

    def exchanged(self, one: str, other: str) -> Structure:
        """The same with two fields in each other's place."""
        there = {one: other, other: one}
        return replace(self, fields=tuple(there.get(name, name) for name in self.fields))

    def alike(self) -> Iterator[tuple[str, str]]:
        """Each two fields of the same type."""
        for place, one in enumerate(self.fields):
            for other in self.fields[place + 1 :]:
                if self.types[one] == self.types[other]:
                    yield one, other


@dataclass(frozen=True)
class Call:
    """Where one is made with arguments by place."""

    where: str
    arguments: tuple[str | None, ...]
    """What each is called; None for whatever has no name."""
    is_whole: bool
    """Whether all are known; not behind a `*`."""
    keywords: tuple[str | None, ...]


Made = dict[Key, tuple[Structure, list[Call]]]


def read(sources: Mapping[str, str]) -> Made:
    """All structures that are made by place, from the texts of modules by their names."""
    return _Reader(sources).made()


def made_by_place(package: Path) -> Made:
    """Those of a package's folder."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        name = ".".join(path.relative_to(package.parent).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path.read_text()
    return read(found)


def wrong(structure: Structure, calls: Iterable[Call]) -> list[str]:
    """What does not fit."""
    return [
        f"{call.where}: {structure.name}: {text}"
        for call in calls
        for text in _wrong(structure, call)
    ]


def misplaced(structure: Structure, calls: Iterable[Call]) -> set[Misplaced]:
    """The arguments that stand at the place of another field than they are called."""
    return {
        (structure.module, structure.name, field, called)
        for call in calls
        for field, called, _ in _misplaced(structure, call)
    }


def _misplaced(structure: Structure, call: Call) -> Iterator[tuple[str, str, str]]:
    """(field, argument, as it is written)."""
    for field, name in zip(structure.fields, call.arguments, strict=False):
        called = "" if name is None else name.lstrip("_")
        if name is not None and called in structure.fields and called != field:
            yield field, called, name


def _wrong(structure: Structure, call: Call) -> Iterator[str]:
    fields, given = structure.fields, call.arguments
    if len(given) > len(fields):
        yield f"{len(given)} arguments for {len(fields)} fields"
    for field, called, name in _misplaced(structure, call):
        if (structure.module, structure.name, field, called) not in ON_PURPOSE:
            yield f"{name} at the place of {field}"
    by_place = set(fields[: len(given)])
    for keyword in call.keywords:
        if keyword in by_place:
            yield f"{keyword} by place and by keyword"
    if call.is_whole and None not in call.keywords:
        left = set(fields) - by_place - structure.defaults - set(call.keywords)
        if left:
            yield f"without {', '.join(sorted(left))}"


class _Reader:
    def __init__(self, sources: Mapping[str, str]) -> None:
        self._modules = {name: ast.parse(text) for name, text in sources.items()}
        self._classes: dict[Key, ast.ClassDef] = {}
        self._imports: dict[Key, Key] = {}
        for module, tree in self._modules.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    self._classes[module, node.name] = node
                elif isinstance(node, ast.ImportFrom) and node.module:
                    for one in node.names:
                        self._imports[module, one.asname or one.name] = (node.module, one.name)
        self._structures: dict[Key, Structure | None] = {}

    def made(self) -> Made:
        found: Made = {}
        for module, tree in self._modules.items():
            for node in ast.walk(tree):
                if not isinstance(node, ast.Call) or not node.args:
                    continue
                key = self._named(module, node.func)
                structure = None if key is None else self._structure(key)
                if key is not None and structure is not None:
                    found.setdefault(key, (structure, []))[1].append(_call(module, node))
        return found

    def _named(self, module: str, node: ast.expr) -> Key | None:
        """The class that an expression names, wherever it is defined."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            of = self._imports.get((module, node.value.id))
            there = node.value.id if of is None else ".".join(of)
            return self._defined((there, node.attr))
        return self._defined((module, node.id)) if isinstance(node, ast.Name) else None

    def _defined(self, key: Key) -> Key:
        while key not in self._classes and key in self._imports:
            key = self._imports[key]
        return key

    def _structure(self, key: Key) -> Structure | None:
        if key not in self._structures:
            self._structures[key] = self._made_of(key)
        return self._structures[key]

    def _made_of(self, key: Key) -> Structure | None:
        if key == _STRUCT:
            return Structure(*_STRUCT, (), {}, frozenset())
        node = self._classes.get(key)
        bases = [] if node is None else [self._named(key[0], base) for base in node.bases]
        above = [of for base in bases if base is not None and (of := self._structure(base))]
        if node is None or not above:
            return None
        fields = dict.fromkeys(name for of in above for name in of.fields)
        types = {name: text for of in above for name, text in of.types.items()}
        defaults = {name for of in above for name in of.defaults}
        for line in node.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                name, text = line.target.id, ast.unparse(line.annotation)
                if "ClassVar" not in text:
                    fields[name], types[name] = None, text
                    if line.value is not None:
                        defaults.add(name)
        return Structure(*key, tuple(fields), types, frozenset(defaults))


def _call(module: str, node: ast.Call) -> Call:
    known = []
    for one in node.args:
        if isinstance(one, ast.Starred):
            break
        known.append(one)
    return Call(
        f"{module}:{node.lineno}",
        tuple(_name(one) for one in known),
        len(known) == len(node.args),
        tuple(keyword.arg for keyword in node.keywords),
    )


def _name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else None
