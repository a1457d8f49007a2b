"""Small planted changes in `core` and `executor`: one statement dropped, a condition turned
round, a boundary moved, two calls in the other order.

They are made from the syntax trees of the modules that decide, and drawn evenly over these, so that
nobody chooses what will be found.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Final

from adpkv.exploration.dice import Dice

__all__ = ["Mutation", "mutations"]

ROOT: Final = Path(__file__).resolve().parent.parent.parent

MODULES: Final = (
    "core/block_pool", "core/health", "core/health_watch", "core/ownership", "core/plan",
    "core/request", "core/responses", "core/router", "core/scheduler", "core/session_book",
    "core/session_limits", "core/slots", "core/tombstones", "core/transceiver", "core/waiting",
    "executor/context", "executor/coordinator", "executor/decisions", "executor/generation",
    "executor/leader", "executor/leases", "executor/loop", "executor/phases", "executor/serving",
    "executor/succession", "executor/transfers",
)  # fmt: skip

EACH: Final = 3
"""Of each module; in all at least sixty."""

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
    line: int
    what: str
    source: str
    """The whole module with the change in it."""

    @property
    def name(self) -> str:
        """For a table."""
        return f"{self.module.removeprefix('adpkv.')}:{self.line} {self.what}"


@cache
def mutations() -> tuple[Mutation, ...]:
    """All of them, always the same for the same code."""
    found: list[Mutation] = []
    for name in MODULES:
        path = ROOT / "adpkv" / f"{name}.py"
        text = path.read_text()
        module = "adpkv." + name.replace("/", ".")
        count = sum(1 for _ in _sites(ast.parse(text)))
        dice = Dice(count, len(found))
        for index in dice.some(range(count), EACH):
            line, what, source = _changed(text, index)
            found.append(Mutation(len(found), module, line, what, source))
    return tuple(found)


def _changed(text: str, index: int) -> tuple[int, str, str]:
    """(line, what, source) of one of the changes that can be made to a module."""
    tree = ast.parse(text)
    body, place, how = next(islice(_sites(tree), index, None))
    line, what = _change(body, place, how)
    return line, what, ast.unparse(ast.fix_missing_locations(tree))


Site = tuple[list[ast.stmt], int, str]


def _sites(tree: ast.Module) -> Iterator[Site]:
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if function.name.startswith("__"):
            continue
        for node in ast.walk(function):
            for field in ("body", "orelse"):
                body = getattr(node, field, None)
                if isinstance(body, list):
                    yield from _sites_in(body)


def _sites_in(body: list[ast.stmt]) -> Iterator[Site]:
    for place, statement in enumerate(body):
        if _is_call(statement) or _is_kept(statement):
            yield body, place, "drop"
        if _is_call(statement) and place + 1 < len(body) and _is_call(body[place + 1]):
            yield body, place, "swap"
        if isinstance(statement, ast.If):
            yield body, place, "negate"
            if (
                isinstance(statement.test, ast.Compare)
                and type(statement.test.ops[0]) in _BOUNDARIES
            ):
                yield body, place, "boundary"


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


def _change(body: list[ast.stmt], place: int, how: str) -> tuple[int, str]:
    statement = body[place]
    said = ast.unparse(statement).splitlines()[0][:60]
    if how == "drop":
        body[place] = ast.copy_location(ast.Pass(), statement)
    elif how == "swap":
        body[place], body[place + 1] = body[place + 1], body[place]
    elif isinstance(statement, ast.If) and how == "negate":
        statement.test = ast.UnaryOp(ast.Not(), statement.test)
    elif isinstance(statement, ast.If) and isinstance(statement.test, ast.Compare):
        statement.test.ops[0] = _BOUNDARIES[type(statement.test.ops[0])]()
    return statement.lineno, f"{how}: {said}"
