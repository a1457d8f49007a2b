"""A group, its course and its offers are written by themselves: read from the syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from adpkv.worlds.virtual.course import Course
from adpkv.worlds.virtual.group import VirtualGroup
from adpkv.worlds.virtual.offers import Offers

FOLDER = Path(__file__).parents[3] / "adpkv" / "worlds" / "virtual"
FIELDS = {*VirtualGroup.__slots__, *Course.__slots__, *Offers.__slots__}
OWNERS = ("group", "course", "offers")
CHANGES = ("append", "add", "clear", "remove", "pop", "extend", "discard", "insert")


def written(tree: ast.AST) -> Iterator[str]:
    """Fields of a group or course that are assigned, or changed in place, from outside."""
    for node in ast.walk(tree):
        at: ast.AST = node
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            at = node.func.value if node.func.attr in CHANGES else node
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            at = node.value
        elif not (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del)):
            continue
        if not isinstance(at, ast.Attribute) or at.attr not in FIELDS:
            continue
        if ast.unparse(at.value).rpartition(".")[2] in OWNERS:
            yield ast.unparse(node)


def test_nobody_else_writes_into_a_group_its_course_or_its_offers() -> None:
    found = {
        f"{path.name}: {text}"
        for path in sorted(FOLDER.glob("*.py"))
        for text in written(ast.parse(path.read_text()))
    }
    assert found == set()


@pytest.mark.parametrize(
    "line",
    [
        "group.version += 1",
        "group.iteration, group.plan = 1, plan",
        "group.awake.add(index)",
        "group.offers.current[index] = collective",
        "offers.made += 1",
        "self.group.course.paused = None",
        "course.open = False",
        "group._history.append(1)",
    ],
)
def test_a_write_from_outside_is_seen(line: str) -> None:
    assert list(written(ast.parse(line))) != []
