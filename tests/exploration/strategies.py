"""How soon each strategy finds each policy of the field, and what each reaches with none.

    python -m tests.exploration.strategies [--jobs J] [--for S] [--seeds N] [--out FILE]

Prints a Markdown table: seeds until the first find. What does not fit into S seconds is left out.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from adpkv.exploration.batch import Task, perform
from adpkv.exploration.campaign import plan_for
from adpkv.exploration.coverage import Coverage
from tests.exploration.policies import FOUND, VARIANTS, where

STRATEGIES: Final = ("random", "pct:3", "pct:5", "guided")
FINDING: Final = 1000
"""Seeds in which a policy must be found; also how long `guided` learns."""
CHUNK: Final = 50


def first_find(policy: tuple[str, str], strategy: str) -> tuple[int, str]:
    """(seeds until the first find, its signature); (0, "") where nothing is found."""
    spans = [(first, first + CHUNK) for first in range(0, FINDING, CHUNK)]
    if strategy == "guided":  # which learns from the first seed on
        spans = [(0, last) for last in (CHUNK, 4 * CHUNK, FINDING)]
    for span in spans:
        finds = perform(_task(policy, FOUND[policy].variant, strategy, *span)).finds
        if finds:
            found = min(finds, key=lambda one: one.seed)
            return found.seed + 1, found.signature
    return 0, ""


def reached(variant: str, strategy: str, seeds: int) -> dict[str, Any]:
    """What so many seeds reach with nothing planted."""
    result = perform(_task(None, variant, strategy, 0, seeds))
    coverage = Coverage(result.facts)
    shares = {name: str(share) for name, share in coverage.shares().items()}
    return {"finds": len(result.finds), "facts": len(result.facts), **shares}


def _task(
    policy: tuple[str, str] | None, variant: str, strategy: str, first: int, last: int
) -> Task:
    base = where(policy, variant).base
    plan = plan_for(base, strategy, first, last)
    return Task(0, plan.experiment, plan.strategy, plan.depth, first, last)


def main() -> None:
    """All of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.exploration.strategies")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--for", dest="for_s", type=float, default=600.0)
    parser.add_argument("--seeds", type=int, default=3000)
    parser.add_argument("--out", type=Path, default=Path("runs/strategies.json"))
    options = parser.parse_args()
    until_s = time.monotonic() + options.for_s
    tasks: list[_Made] = [(policy, "", s, 0) for policy in FOUND for s in STRATEGIES]
    tasks += [(None, variant, s, options.seeds) for variant in VARIANTS for s in STRATEGIES]
    found: dict[str, dict[str, Any]] = {}
    with multiprocessing.Pool(options.jobs) as pool, suppress(multiprocessing.TimeoutError):
        results = pool.imap_unordered(_made, tasks)
        for _ in tasks:
            name, strategy, value = results.next(max(until_s - time.monotonic(), 0.0))
            found.setdefault(name, {})[strategy] = value
    _write(options.out, found)


_Made = tuple[tuple[str, str] | None, str, str, int]


def _made(task: _Made) -> tuple[str, str, Any]:
    policy, variant, strategy, seeds = task
    if policy is not None:
        return ": ".join(policy), strategy, first_find(policy, strategy)
    return f"reached, {variant or 'as it is'}", strategy, reached(variant, strategy, seeds)


def _write(out: Path, found: dict[str, dict[str, Any]]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1))
    print(f"| policy | {' | '.join(f'`{one}`' for one in STRATEGIES)} |")
    print(f"|---|{'---|' * len(STRATEGIES)}")
    for name, by in found.items():
        print(f"| `{name}` | {' | '.join(_cell(by.get(one)) for one in STRATEGIES)} |")


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    if value is None:
        return "not made"
    seeds, _ = value
    return f"{seeds:,}" if seeds else "not found"


if __name__ == "__main__":
    main()
