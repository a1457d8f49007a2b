"""Sessions have one mutator: `SessionBook` alone assigns their fields, and no set of states has a
second name."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adpkv.config import load
from adpkv.core.session import Session, State
from adpkv.worlds.virtual.run import Simulation

ROOT = Path(__file__).resolve().parents[2]
FIELDS = frozenset(Session.__slots__)
HOME = ROOT / "adpkv" / "core" / "session_book.py"
TABLES = ROOT / "adpkv" / "core" / "session.py"
FILES = sorted((ROOT / "adpkv").rglob("*.py"))


def assigned(tree: ast.AST) -> Iterator[str]:
    """`session.field`, wherever such is assigned, or changed in place by `setattr`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            changed = node.attr in FIELDS and is_a_session(node.value)
        elif isinstance(node, ast.Call) and node.args:
            changed = ast.unparse(node.func) == "setattr" and is_a_session(node.args[0])
        else:
            continue
        if changed:
            yield ast.unparse(node)


def is_a_session(node: ast.AST) -> bool:
    """By its name; the run below sees those that have another one."""
    return "session" in ast.unparse(node).rpartition(".")[2]


def test_the_book_alone_assigns_a_sessions_fields() -> None:
    found = {path: list(assigned(ast.parse(path.read_text()))) for path in FILES}
    assert [str(path) for path, fields in found.items() if fields] == [str(HOME)]


@pytest.mark.parametrize(
    "line",
    [
        "session.state = line.state",
        "request.session.tag += 1",
        "session.peer, session.tag = 1, 2",
        "setattr(session, name, 3)",
        "del session.story",
    ],
)
def test_an_assignment_elsewhere_is_seen(line: str) -> None:
    assert list(assigned(ast.parse(line))) != []


def test_no_other_module_assigns_one_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """By whatever name: a run with transfers and cancels, every assignment watched."""
    seen = set()

    def watched(session: Session, name: str, value: Any) -> None:
        seen.add(sys._getframe(1).f_code.co_filename)
        object.__setattr__(session, name, value)

    monkeypatch.setattr(Session, "__setattr__", watched, raising=False)
    experiment = load(
        ROOT / "configs" / "quickstart.yaml",
        ["workload.requests=40", "workload.cancel.probability=0.3"],
    )
    Simulation(experiment).run()
    assert seen == {str(HOME), str(TABLES)}


def sets_of_states(tree: ast.AST) -> Iterator[str]:
    """Sets, tuples and lists of several states of sessions."""
    words = {state.name for state in State}
    for node in ast.walk(tree):
        if isinstance(node, ast.Set | ast.Tuple | ast.List):
            named = [ast.unparse(e) for e in node.elts]
            if len(named) > 1 and set(named) <= {f"State.{word}" for word in words}:
                yield ast.unparse(node)


def test_groups_of_states_are_predicates_of_the_state() -> None:
    """But for those that a policy has other lines for."""
    mine = (TABLES, ROOT / "adpkv" / "field_policies" / "records.py")
    texts = [
        f"{path.name}: {text}"
        for path in FILES
        if path not in mine
        for text in sets_of_states(ast.parse(path.read_text()))
    ]
    assert texts == []
