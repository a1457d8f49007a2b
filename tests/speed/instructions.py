"""Fails if a run takes more instructions than the table says: `python -m tests.speed.instructions`.

`instructions.json` has the counts of five runs by what they depend on (`counting.key`). `--renew`
writes those that are found into it. `start` is the beginning of each simulation too, and more than
half of it; so what follows it is judged by itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.speed.counting import counts_of, key, made_with, valgrind
from tests.speed.runs import ROOT, RUNS, RunFailedError, Tree, is_compiled

__all__ = ["TABLE", "compared", "main", "why_skipped"]

TABLE: Final = Path(__file__).with_name("instructions.json")
MOST: Final = 1.10
"""How often as many instructions as in the table are too many."""

NOT_SIMULATED: Final = ("help", "start")
Counts = Mapping[str, int]


def compared(found: Counts, table: Counts) -> Iterator[tuple[str, int, int]]:
    """What is judged: its name, instructions now, instructions in the table."""
    for name, count in found.items():
        yield name, count, table[name]
        if name not in NOT_SIMULATED:
            beyond = f"{name} beyond start"
            yield beyond, count - found["start"], table[name] - table["start"]


def why_uncounted(root: Path) -> str:
    """Why nothing can be counted here for the table; empty if it can."""
    if valgrind() is None:
        return "there is no valgrind"
    if is_compiled(root):
        return "adpkv is compiled here, and the table is of plain Python"
    return ""


def why_skipped(root: Path, table: Mapping[str, Any]) -> str:
    """Why nothing can be judged here; empty if it can."""
    why = why_uncounted(root)
    if why:
        return why
    if key() not in table:
        return f"the table has no counts for {key()}; make instructions-table adds them"
    return ""


def main(
    argv: list[str],
    count: Callable[[], dict[str, int]] = lambda: counts_of(Tree(ROOT), RUNS),
    file: Path = TABLE,
) -> int:
    """Judge, or renew; returns 1 if something has grown too much, 2 if nothing can be counted."""
    if argv not in ([], ["--renew"]):
        print(f"instructions: {' '.join(argv)}: --renew or nothing", file=sys.stderr)
        return 2
    table = json.loads(file.read_text()) if file.exists() else {}
    try:
        return _renewed(table, count, file) if argv == ["--renew"] else _judged(table, count)
    except RunFailedError as error:
        print(f"instructions: {error}", file=sys.stderr)
        return 2


def _renewed(table: dict[str, Any], count: Callable[[], dict[str, int]], file: Path) -> int:
    why = why_uncounted(ROOT)
    if why:
        print(f"instructions: not counted: {why}", file=sys.stderr)
        return 2
    table[key()] = {"instructions": count(), "made with": made_with()}
    file.write_text(json.dumps(table, indent=2, sort_keys=True) + "\n")
    return 0


def _judged(table: Mapping[str, Any], count: Callable[[], dict[str, int]]) -> int:
    why = why_skipped(ROOT, table)
    if why:
        print(f"instructions: skipped: {why}", file=sys.stderr)
        return 0
    entry = table[key()]
    grown = []
    for name, now, before in compared(count(), entry["instructions"]):
        print(f"instructions: {name:24} {now / 1e6:8,.0f} M, {now / before - 1:+.1%}")
        if now > MOST * before:
            grown.append(name)
    if grown:
        print(_told(grown, entry["made with"]), file=sys.stderr)
    return int(bool(grown))


def _told(grown: list[str], before: Mapping[str, str]) -> str:
    now = made_with()
    others = [f"{name}: {before.get(name)}, now {now[name]}" for name in now]
    changed = [
        said for name, said in zip(now, others, strict=True) if now[name] != before.get(name)
    ]
    return (
        f"instructions: {', '.join(grown)} took over {MOST - 1:.0%} more than the table says. "
        + (f"Beside adpkv this has changed: {'; '.join(changed)}. " if changed else "")
        + "Make it faster, or say why it has to be so and make instructions-table."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
