"""Small planted changes in `core` and `executor`: one statement dropped, a condition turned
round, a boundary moved, two calls in the other order.

They are made from the syntax trees of the modules that decide, and drawn evenly over these, so that
nobody chooses what will be found. Each is drawn by its own text: what is changed elsewhere in the
code leaves the others as they are.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["NOTHING", "ROOT", "Mutation", "mutations", "unchanged"]

ROOT: Final = Path(__file__).resolve().parent.parent.parent

MODULES: Final = (
    "core/block_pool", "core/health", "core/health_watch", "core/ownership", "core/plan",
    "core/prefix_runs", "core/request", "core/responses", "core/router", "core/scheduler",
    "core/session_book", "core/session_limits", "core/slots", "core/tombstones", "core/transceiver",
    "core/waiting", "executor/context", "executor/coordinator", "executor/decisions",
    "executor/generation", "executor/leader", "executor/leases", "executor/loop", "executor/phases",
    "executor/serving", "executor/succession", "executor/transfers",
)  # fmt: skip

EACH: Final = 3
"""Of each module; in all at least sixty."""

FUNCTION: Final = (ast.FunctionDef, ast.AsyncFunctionDef)

_BOUNDARIES: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change."""

    number: int
    module: str
    """Its dotted name."""
    what: str
    """The function, and what is changed in it."""
    source: str
    """The whole module with the change in it."""

    @property
    def name(self) -> str:
        """For a table; the same as long as its function is."""
        return f"{self.module.removeprefix('adpkv.')}: {self.what}"


class _Site(NamedTuple):
    """A place that can be changed."""

    what: str
    body: list[ast.stmt]
    place: int
    how: str


@cache
def mutations() -> tuple[Mutation, ...]:
    """All of them, always the same for the same code."""
    found: list[Mutation] = []
    for name in MODULES:
        text = (ROOT / "adpkv" / f"{name}.py").read_text()
        module = "adpkv." + name.replace("/", ".")
        drawn = sorted((site.what for site in _sites(ast.parse(text))), key=_lot)[:EACH]
        for what in drawn:
            found.append(Mutation(len(found), module, what, _changed(text, what)))
    return tuple(found)


NOTHING: Final = Mutation(-1, "adpkv", "nothing is changed", "")
"""Stands for `unchanged` where one mutation is asked for."""


def unchanged() -> tuple[Mutation, ...]:
    """Every module as it is, in the same form: nothing may notice these."""
    return tuple(
        Mutation(-1, "adpkv." + name.replace("/", "."), NOTHING.what, _parsed(name))
        for name in MODULES
    )


def _parsed(name: str) -> str:
    return ast.unparse(ast.parse((ROOT / "adpkv" / f"{name}.py").read_text()))


def _lot(what: str) -> bytes:
    return blake2b(what.encode(), digest_size=8).digest()


def _changed(text: str, what: str) -> str:
    """The source with one of the changes that can be made to it."""
    tree = ast.parse(text)
    site = next(site for site in _sites(tree) if site.what == what)
    _change(site.body, site.place, site.how)
    return ast.unparse(ast.fix_missing_locations(tree))


def _sites(tree: ast.Module) -> Iterator[_Site]:
    seen = Counter[str]()
    for owner, function in _functions(tree):
        for node in ast.walk(function):
            for field in ("body", "orelse"):
                body = getattr(node, field, None)
                if isinstance(body, list):
                    for place, how in _sites_in(body):
                        said = ast.unparse(body[place]).splitlines()[0][:60]
                        what = f"{owner}{function.name}: {how}: {said}"
                        seen[what] += 1
                        nth = f" ({seen[what]})" if seen[what] > 1 else ""
                        yield _Site(what + nth, body, place, how)


def _functions(
    tree: ast.Module,
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """The functions of a module with the class they are in; without those that Python calls."""
    for node in tree.body:
        owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for one in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(one, FUNCTION) and not one.name.startswith("__"):
                yield owner, one


def _sites_in(body: list[ast.stmt]) -> Iterator[tuple[int, str]]:
    for place, statement in enumerate(body):
        if _is_call(statement) or _is_kept(statement):
            yield place, "drop"
        if _is_call(statement) and place + 1 < len(body) and _is_call(body[place + 1]):
            yield place, "swap"
        if isinstance(statement, ast.If):
            yield place, "negate"
            if (
                isinstance(statement.test, ast.Compare)
                and type(statement.test.ops[0]) in _BOUNDARIES
            ):
                yield place, "boundary"


def _is_kept(statement: ast.stmt) -> bool:
    """Does it change something that stays?"""
    if isinstance(statement, ast.AugAssign):
        return True
    return isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Attribute)


def _is_call(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Expr):
        return False
    value = statement.value
    return isinstance(value, ast.Call) or (
        isinstance(value, ast.Await) and isinstance(value.value, ast.Call)
    )


def _change(body: list[ast.stmt], place: int, how: str) -> None:
    statement = body[place]
    if how == "drop":
        body[place] = ast.copy_location(ast.Pass(), statement)
    elif how == "swap":
        body[place], body[place + 1] = body[place + 1], body[place]
    elif isinstance(statement, ast.If) and how == "negate":
        statement.test = ast.UnaryOp(ast.Not(), statement.test)
    elif isinstance(statement, ast.If) and isinstance(statement.test, ast.Compare):
        statement.test.ops[0] = _BOUNDARIES[type(statement.test.ops[0])]()
