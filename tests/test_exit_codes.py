"""Exit codes are one enum, and nowhere bare numbers: read from the syntax trees of the package."""

from __future__ import annotations

import ast
import itertools
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adpkv.exit_codes import EXIT_PRECEDENCE, OUTCOMES, ExitCode, by_signal, of_process, worst

PACKAGE = Path(__file__).resolve().parent.parent / "adpkv"
HOME = PACKAGE / "exit_codes.py"
OF_MPI = PACKAGE / "rank_programs" / "mpi_ranks" / "buffers.py"
"""The classes of MPI's errors have numbers too."""

# "precedence 70, 4, 3, 5, 2, 75, signals, 0"
# ... and 6 and 7, which are an exploration's and a replay's and never a run's.
CONTRACT = (70, 4, 3, 5, 74, 2, 75, 143, 130, 129, 6, 7, 0)

ENDINGS = {"Exit", "SystemExit", "exit", "_exit", "abort", "end_host", "end_job", "leave_now"}
"""What is called with an exit code, to end with it."""

NAMES = {"code", "exit_code", "stop"}
"""What holds one."""

UNMISTAKABLE = {code for code in CONTRACT if code > 64}
"""Numbers that nothing else in the package is."""


@pytest.mark.parametrize(("a", "b"), list(itertools.product(CONTRACT, repeat=2)))
def test_the_earlier_in_the_contract_wins(a: int, b: int) -> None:
    assert worst([a, b]) == min((a, b), key=CONTRACT.index)


def test_all_codes_have_a_word_and_a_place() -> None:
    assert set(OUTCOMES) == set(EXIT_PRECEDENCE) == set(CONTRACT) == set(ExitCode)


def test_an_unknown_code_is_an_internal_error() -> None:
    assert worst([0, 1]) is ExitCode.INTERNAL_ERROR


def test_nothing_proposed_is_success() -> None:
    assert worst([]) is ExitCode.COMPLETED


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGTERM"])
def test_a_signal_has_the_code_that_a_shell_would_say(name: str) -> None:
    number = signal.Signals[name]
    ended = subprocess.run(
        [sys.executable, "-c", f"import os; os.kill(os.getpid(), {number})"], check=False
    )
    expected = ended.returncode if ended.returncode > 0 else by_signal(number)
    assert of_process(ended.returncode) == expected == ExitCode[name]


def bare(tree: ast.AST) -> Iterator[int]:
    """The lines on which an exit code is a number."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and is_number(node) and node.value in UNMISTAKABLE:
            yield node.lineno
        elif isinstance(node, ast.Call) and name_of(node.func) in ENDINGS:
            yield from (arg.lineno for arg in node.args if is_number(arg))
        elif isinstance(node, ast.keyword) and node.arg in NAMES and is_number(node.value):
            yield node.value.lineno
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(name_of(target) in NAMES for target in targets) and is_number(node.value):
                yield node.lineno
        elif isinstance(node, ast.Compare) and is_bare_comparison(node):
            yield node.lineno


def is_bare_comparison(node: ast.Compare) -> bool:
    """Only of equal and unequal: a signal's code is one above a number."""
    is_same = isinstance(node.ops[0], ast.Eq | ast.NotEq)
    return is_same and name_of(node.left) in NAMES and is_number(node.comparators[0])


def is_number(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value >= 0


def name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def test_no_exit_code_is_a_bare_number() -> None:
    found = {
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path not in (HOME, OF_MPI)
        for line in bare(ast.parse(path.read_text()))
    }
    assert found == set()


@pytest.mark.parametrize(
    "line",
    [
        "raise typer.Exit(2)",
        "raise SystemExit(0)",
        "sys.exit(3)",
        "os._exit(5)",
        "abort('why', 4)",
        "exit_code = 3",
        "exit_code: int = 3",
        "self.code = 0",
        "if summary['exit_code'] == 0: pass",
        "if error.exit_code != 5: pass",
        "BrokeOff('endless', code=4)",
        "UNHEALTHY = 75",
        "propose(70, 'why')",
    ],
)
def test_a_bare_number_is_seen(line: str) -> None:
    assert list(bare(ast.parse(line))) != []
