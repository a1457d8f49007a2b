"""Plants each mutation, and says what notices it: exploration, unit tests, scenarios.

    python -m tests.mutants [--jobs J] [--for S] [--stages explore,unit,scenario] [--table FILE]

Each result is a line of JSON in --out, to which a later call adds what is missing: so it can be
halted. After a change of the code or the tests take another file. Ends with 1 if a mutation
survives all of it and is not argued away in `survivors.py`, or if something is noticed where
nothing is changed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from tests.mutants.mutations import NOTHING, Mutation, mutations
from tests.mutants.stages import STAGES, Noticed, notice
from tests.mutants.table import Known, summed_up, write_table


def main() -> int:
    """All of them, or those that are named."""
    options = _options()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    known = _known(options.out)
    until_s = time.monotonic() + options.for_s
    stages = [stage for stage in STAGES if stage in options.stages.split(",")]
    numbers = options.numbers or range(len(mutations()))
    chosen = [NOTHING, *(one for one in mutations() if one.number in numbers)]
    with options.out.open("a") as file:
        for mutation, stage, said in _noticed(known, chosen, stages, options, until_s):
            known.setdefault(mutation.name, {})[stage] = said
            row = {"name": mutation.name, "stage": stage, **said.data()}
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(f"{mutation.number:3} {stage:8} {said} · {mutation.name}", flush=True)
    if options.table is not None:
        write_table(options.table, known)
    return summed_up(known)


def _noticed(
    known: Known, chosen: list[Mutation], stages: list[str], options: Any, until_s: float
) -> Iterator[tuple[Mutation, str, Noticed]]:
    """What is not known yet, in the order in which it comes."""
    left = [(m, s) for s in stages for m in chosen if s not in known.get(m.name, {})]
    with ThreadPoolExecutor(options.jobs) as pool:
        under_way: dict[Future[Noticed], tuple[Mutation, str]] = {}
        while True:
            while left and len(under_way) < options.jobs and time.monotonic() < until_s:
                mutation, stage = min(left, key=lambda one: _rank(known, stages, *one))
                left.remove((mutation, stage))
                future = pool.submit(notice, mutation, stage, options.seconds, options.bound)
                under_way[future] = mutation, stage
            if not under_way:
                return
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                mutation, stage = under_way.pop(future)
                yield mutation, stage, future.result()


def _rank(known: Known, stages: list[str], mutation: Mutation, stage: str) -> tuple[int, bool]:
    """By stage; in each first what nothing has noticed yet: whoever runs out of time knows most."""
    noticed = any(said.by for said in known.get(mutation.name, {}).values())
    return stages.index(stage), noticed


def _known(path: Path) -> Known:
    known: Known = {}
    if path.exists():
        names = {mutation.name for mutation in (NOTHING, *mutations())}
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if row["name"] in names:
                known.setdefault(row["name"], {})[row["stage"]] = Noticed.of(row)
    return known


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int)
    parser.add_argument("--out", type=Path, default=Path("runs/mutants.jsonl"))
    parser.add_argument("--jobs", type=int, default=1, help="at the same time")
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="processor time to explore each"
    )
    parser.add_argument("--for", dest="for_s", type=float, default=float("inf"))
    parser.add_argument("--bound", type=float, default=600.0, help="seconds of one stage at most")
    parser.add_argument("--table", type=Path, help="write what is known as Markdown")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
