"""What decides in virtual time reads no clock, no random source, no address and no order of a set:
seen while it runs, found in its text, and by hash seeds that differ."""

from __future__ import annotations

import ast
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adpkv.exploration.drawing import draw
from adpkv.exploration.entropy import AUDITED, EntropyError, audited
from adpkv.exploration.trial import attempt
from tests.exploration.policies import where

ROOT = Path(__file__).resolve().parent.parent
FILES = [
    path for package in AUDITED for path in sorted((ROOT / package.replace(".", "/")).rglob("*.py"))
]

PLANTED = """
import time, random
{name} = lambda: {call}
"""


@pytest.mark.parametrize("call", ["time.time_ns()", "random.random()", "id(object())", "hash('a')"])
@pytest.mark.parametrize("package", AUDITED)
def test_a_source_is_an_error_at_the_call(package: str, call: str) -> None:
    """A planted function of a module of such a package."""
    planted: dict[str, object] = {"__name__": f"{package}.planted"}
    exec(compile(PLANTED.format(name="planted", call=call), "planted.py", "exec"), planted)
    with audited(), pytest.raises(EntropyError, match=r"planted\.py:3: adpkv\.\S+ calls"):
        planted["planted"]()  # type: ignore[operator]


def test_others_may_and_all_is_as_it_was_afterwards() -> None:
    before = time.time, random.random, id
    with audited():
        assert time.time() > 0
        assert random.random() < 1
        assert id(before)
    assert (time.time, random.random, id) == before


def test_runs_read_none() -> None:
    with audited():
        for variant in ("", "replicated", "dying"):
            for seed in range(6):
                assert attempt(draw(where(variant=variant), seed)).found == ()


# -- the order of sets --------------------------------------------------------------------------

ORDERED = {"list", "tuple", "iter", "enumerate", "zip", "map", "join", "extend", "next", "reversed"}
"""What makes the order of a set visible."""


def sets_in(tree: ast.AST) -> set[str]:
    """Names that are annotated as sets anywhere in a file."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and is_set_type(node.annotation):
            found.add(ast.unparse(node.target))
        if isinstance(node, ast.arg) and node.annotation and is_set_type(node.annotation):
            found.add(node.arg)
        if isinstance(node, ast.Assign) and is_set(node.value, set()):
            found.update(ast.unparse(target) for target in node.targets)
    return found


def is_set_type(node: ast.expr) -> bool:
    return ast.unparse(node).split("[")[0] in ("set", "frozenset", "Set", "AbstractSet")


def is_set(node: ast.expr, named: set[str]) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("set", "frozenset"):
        return True
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub):
        return is_set(node.left, named) or is_set(node.right, named)
    return ast.unparse(node) in named


def _unstarred(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Starred) else node


def orders(tree: ast.Module) -> list[int]:
    """The lines on which the order of a set can be seen. Attributes are known in the whole file,
    other names in their function."""
    attributes = {name for name in sets_in(tree) if "." in name}
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    scopes: list[ast.AST] = functions or [tree]
    return sorted({line for at in scopes for line in orders_in(at, attributes | sets_in(at))})


def orders_in(tree: ast.AST, named: set[str]) -> Iterator[int]:
    """Those of one function."""
    harmless = {
        comprehension
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("any", "all", "sum", "sorted", "set", "frozenset", "len")
        for arg in node.args
        if isinstance(arg, ast.GeneratorExp | ast.SetComp | ast.ListComp)
        for comprehension in arg.generators
    }
    into_sets = [
        made
        for node in ast.walk(tree)
        if isinstance(node, ast.SetComp | ast.Set)
        for made in ([node] if isinstance(node, ast.SetComp) else map(_unstarred, node.elts))
        if isinstance(made, ast.SetComp | ast.GeneratorExp)
    ]
    harmless |= {comprehension for made in into_sets for comprehension in made.generators}
    for node in ast.walk(tree):
        if isinstance(node, ast.For) and is_set(node.iter, named):
            yield node.lineno
        seen = isinstance(node, ast.comprehension) and node not in harmless
        if seen and is_set(node.iter, named):
            yield node.iter.lineno
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = name or (node.func.id if isinstance(node.func, ast.Name) else "")
            if name in ORDERED and any(is_set(one, named) for one in node.args):
                yield node.lineno
            pops = name == "pop" and not node.args and isinstance(node.func, ast.Attribute)
            if pops and is_set(node.func.value, named):
                yield node.lineno


@pytest.mark.parametrize(
    "text",
    [
        "for x in {1, 2}: print(x)",
        "found: set[int] = set()\nlist(found)",
        "def f(a: set[int]) -> list[int]: return [x for x in a]",
        "waiting = {1} | {2}\nwaiting.pop()",
        "for x in set('ab') - {'a'}: ...",
    ],
)
def test_the_order_of_a_set_is_found(text: str) -> None:
    assert orders(ast.parse(text))


@pytest.mark.parametrize(
    "text", ["for x in sorted({1, 2}): ...", "any(x for x in {1})", "x = {y for y in {1}}"]
)
def test_what_shows_no_order_is_left_alone(text: str) -> None:
    assert not orders(ast.parse(text))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_depends_on_the_order_of_a_set(path: Path) -> None:
    found = orders(ast.parse(path.read_text()))
    assert found == [], f"{path}: lines {found}"


DIGESTS = """
from adpkv.exploration.drawing import draw
from adpkv.exploration.trial import attempt
from tests.exploration.policies import where
print([attempt(draw(where(variant="dying"), seed)).digest for seed in range(8)])
"""


def test_the_same_under_any_hash_seed() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", DIGESTS],
            env=os.environ | {"PYTHONHASHSEED": hashes},
            cwd=ROOT,
            capture_output=True,
            check=True,
            timeout=120,
        ).stdout
        for hashes in ("1", "2")
    }
    assert len(said) == 1
