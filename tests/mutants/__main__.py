"""Plants each mutation, and says what notices it: unit tests, scenarios, exploration.

    python -m tests.mutants [--out FILE] [--seconds S] [--for S] [NUMBER...]

Each result is a line of JSON in FILE, to which a later call adds what is missing. Ends with 1 if a
mutation survives that is not argued away in `survivors.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from tests.mutants.mutations import Mutation, mutations
from tests.mutants.planting import NUMBER
from tests.mutants.survivors import ARGUED

UNIT: Final = ("tests/core", "tests/executor")
SCENARIOS: Final = ("tests/scenarios",)
BOUND_S: Final = 600


def hunted(mutation: Mutation, seconds: float) -> dict[str, Any]:
    """What exploration says."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutants.hunt", str(mutation.number), str(seconds)],
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        return {"signature": f"ended with {done.returncode}: {last}", "variant": "", "seeds": 0}
    said: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return said


def tested(mutation: Mutation, where: tuple[str, ...]) -> str:
    """The first test of these that fails; empty if none does."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "tests.mutants.planting",
         "-p", "no:cacheprovider", "-m", "not slow and not real_ranks", "--no-header", *where],
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
        env=os.environ | {NUMBER: str(mutation.number)},
    )  # fmt: skip
    if not done.returncode:
        return ""
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split(" - ")[0] if failed else f"pytest ended with {done.returncode}"


def main() -> int:
    """All of them, or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int)
    parser.add_argument("--out", type=Path, default=Path("runs/mutants.jsonl"))
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="processor time to explore each"
    )
    parser.add_argument("--for", dest="for_s", type=float, default=float("inf"))
    parser.add_argument("--explore-only", action="store_true")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    known = _known(options.out)
    for mutation in mutations():
        late = time.monotonic() - began_s > options.for_s
        if (
            mutation.name in known
            or late
            or mutation.number not in (options.numbers or range(len(mutations())))
        ):
            continue
        explored = hunted(mutation, options.seconds)
        row = {"name": mutation.name, "explore": explored, "unit": None, "scenario": None}
        if not options.explore_only:
            row |= {"unit": tested(mutation, UNIT), "scenario": tested(mutation, SCENARIOS)}
        known[mutation.name] = row
        with options.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{mutation.number:3} {mutation.name}: {_told(row)}", flush=True)
    return _summed_up(known)


def _known(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["name"]: row for row in rows}


def _told(row: dict[str, Any]) -> str:
    explored = row["explore"]
    by = [f"explore ({explored['signature']}, {explored['seeds']} seeds)"] * bool(
        explored["signature"]
    )
    by += [f"{kind} ({row[kind]})" for kind in ("unit", "scenario") if row[kind]]
    return ", ".join(by) or "SURVIVES"


def _summed_up(known: dict[str, dict[str, Any]]) -> int:
    survivors = [name for name, row in known.items() if _told(row) == "SURVIVES"]
    kinds = Counter(
        kind
        for row in known.values()
        for kind in ("explore", "unit", "scenario")
        if (row["explore"]["signature"] if kind == "explore" else row[kind])
    )
    left = [name for name in survivors if name not in ARGUED]
    print(f"{len(known)} of {len(mutations())} planted; noticed by {dict(kinds)};"
          f" {len(survivors)} survive, {len(left)} of them not argued away")  # fmt: skip
    for name in left:
        print(f"  {name}")
    return int(bool(left))


if __name__ == "__main__":
    sys.exit(main())
