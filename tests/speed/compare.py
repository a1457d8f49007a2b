"""How fast is this checkout beside another revision? `python -m tests.speed.compare REV`.

Both run with this environment's Python and packages, and the experiments of this checkout, in
turns: who is first changes from turn to turn. Five whole processes are timed and their instructions
counted by callgrind, which tells apart what times cannot where other processes run too. Then
`adpkv bench --quick` of both, figure by figure.

Exits with 2 if there is no such revision, or a run fails, else with 0: what is slower is for a
person to judge.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final, NamedTuple, TypeVar

from adpkv.output.tables import Table
from adpkv.terminal import console_for
from tests.speed.counting import counts_of, valgrind
from tests.speed.runs import ROOT, RUNS, RunFailedError, Tree

__all__ = [
    "NoSuchRevisionError",
    "Took",
    "bench_rows",
    "checked_out",
    "in_turns",
    "main",
    "run_rows",
]

BENCHES: Final = ("polling", "fault-seam", "recording", "bare-world", "trace")
"""Those that take seconds and start no real ranks."""

T = TypeVar("T")


class NoSuchRevisionError(Exception):
    """Git knows no revision of that name."""


class Took(NamedTuple):
    """One run as a whole process."""

    wall_s: float
    cpu_s: float


class Sides(NamedTuple):
    """The same of both: the other revision and this one."""

    old: list[Any]
    new: list[Any]


def checked_out(revision: str, into: Path) -> Tree:
    """The files of a revision, in a folder.

    Raises:
        NoSuchRevisionError: there is none of that name.
    """
    git = ["git", "-C", str(ROOT)]
    archive = subprocess.run([*git, "archive", revision], capture_output=True, check=False)
    if archive.returncode:
        raise NoSuchRevisionError(archive.stderr.decode(errors="replace").strip())
    into.mkdir()
    subprocess.run(["tar", "x", "-C", str(into)], input=archive.stdout, check=True)
    return Tree(into)


def in_turns(old: Tree, new: Tree, turns: int, measure: Callable[[Tree], T]) -> Sides:
    """What both take, one of each in a turn; who is first changes from turn to turn."""
    found = Sides([], [])
    sides = [(old, found.old), (new, found.new)]
    for turn in range(turns):
        for tree, kept in reversed(sides) if turn % 2 else sides:
            kept.append(measure(tree))
    return found


def _timed(argv: Sequence[str], folder: Path) -> Callable[[Tree], Took]:
    def measure(tree: Tree) -> Took:
        out = folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        began_s, before = perf_counter(), os.times()
        tree.run(tree.command(argv, out), folder)
        after, wall_s = os.times(), perf_counter() - began_s
        cpu_s = after.children_user + after.children_system
        return Took(wall_s, cpu_s - before.children_user - before.children_system)

    return measure


def run_rows(
    took: Mapping[str, Sides], counts: tuple[Mapping[str, int], Mapping[str, int]] | None
) -> list[list[str]]:
    """A row for each run: processor time of both, its ratio, that of wall time, and that of
    instructions where they were counted."""
    rows = []
    for name, (old, new) in took.items():
        cpu = [[one.cpu_s for one in side] for side in (old, new)]
        wall = [median(one.wall_s for one in side) for side in (old, new)]
        row = [name]
        for side in cpu:
            row += [f"{median(side):.2f}", f"{max(side):.2f}"]
        row += [f"{median(cpu[1]) / median(cpu[0]):.2f}", f"{wall[1] / wall[0]:.2f}"]
        if counts is not None:
            before, now = counts[0][name], counts[1][name]
            row += [f"{before / 1e6:,.0f} M", f"{now / 1e6:,.0f} M", f"{now / before:.3f}"]
        rows.append(row)
    return rows


def _figures(names: Sequence[str], folder: Path) -> Callable[[Tree], dict[str, Any]]:
    """`adpkv bench` of these names; nothing of one that a revision does not have."""

    def measure(tree: Tree) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in names:
            try:
                said = tree.run(tree.command(("bench", name, "--quick", "--json"), folder), folder)
            except RunFailedError as error:
                print(f"{tree.root.name}: bench {name} left out: {error}", file=sys.stderr)
                continue
            found |= {one["name"]: one for one in json.loads(said.stdout)["figures"]}
        return found

    return measure


def bench_rows(sides: Sides) -> list[list[str]]:
    """A row for each figure that both have: medians, the ratio, and that of each to its own
    reference, which says more where the machine changes."""
    rows = []
    for name in sides.old[0]:
        if not all(name in one for side in sides for one in side):
            continue
        values = [median(one[name]["value"] for one in side) for side in sides]
        row = [name, sides.old[0][name]["unit"], *(f"{value:.3g}" for value in values)]
        row.append(f"{values[1] / values[0]:.2f}" if values[0] else "")
        ratios = [[one[name]["ratio"] for one in side] for side in sides]
        if all(ratio is not None for side in ratios for ratio in side):
            row += [f"{median(side):.2f}" for side in ratios]
        rows.append(row)
    return rows


def main(argv: list[str]) -> int:
    """Compare and print."""
    asked = _asked(argv)
    with tempfile.TemporaryDirectory(prefix="adpkv-compare-") as made:
        try:
            old, new = checked_out(asked.revision, Path(made) / "old"), Tree(ROOT)
            for tree in (old, new):
                tree.compile()
            _show_runs(old, new, asked, Path(made))
            if asked.bench:
                _show_figures(old, new, asked, Path(made))
        except (NoSuchRevisionError, RunFailedError) as error:
            # An old revision need not know all that the experiments of this checkout say.
            print(f"bench-compare: {error}", file=sys.stderr)
            return 2
    return 0


def _show_runs(old: Tree, new: Tree, asked: argparse.Namespace, folder: Path) -> None:
    took = {}
    for name, argv in RUNS.items():
        print(f"timing {name} ...", file=sys.stderr, flush=True)
        measure = _timed(argv, folder)
        for tree in (old, new):
            measure(tree)  # what only a first run does
        took[name] = in_turns(old, new, asked.turns, measure)
    counts, heads = None, ["run", "old s", "slowest", "new s", "slowest", "ratio", "wall"]
    if valgrind() is None:
        print("no instructions: there is no valgrind", file=sys.stderr)
    elif not asked.no_instructions:
        print("counting instructions ...", file=sys.stderr, flush=True)
        counts = counts_of(old, RUNS), counts_of(new, RUNS)
        heads += ["old instructions", "new", "ratio"]
    Table(heads, run_rows(took, counts)).show(console_for(sys.stdout))
    print(
        f"processor time of whole processes, medians of {asked.turns} in turns;"
        f" old is {asked.revision}, new this checkout"
    )


def _show_figures(old: Tree, new: Tree, asked: argparse.Namespace, folder: Path) -> None:
    print(f"bench {' '.join(asked.bench)} ...", file=sys.stderr, flush=True)
    sides = in_turns(old, new, max(1, asked.turns // 2), _figures(asked.bench, folder))
    heads = ["figure", "unit", "old", "new", "ratio", "old to its reference", "new to its own"]
    Table(heads, bench_rows(sides), numbers=range(2, 7)).show(console_for(sys.stdout))


def _asked(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench-compare")
    parser.add_argument("revision")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--bench", nargs="*", default=list(BENCHES))
    parser.add_argument("--no-instructions", action="store_true")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
