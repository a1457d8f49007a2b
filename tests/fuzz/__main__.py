"""The campaign: hunters at work on all cores until time or count is spent.

    python -m tests.fuzz [--seconds S] [--count N] [--seed FIRST] [--cores C] [--finds DIR]
                         [HUNTER...]
    python -m tests.fuzz --replay HUNTER SEED

Each find is a file in DIR that says what was wrong, with the input and the command that replays
it. Ends with 1 if there was one.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.fuzz.hunters import BAD_INPUTS, HUNTERS, smaller
from tests.fuzz.hunting import Report, Worker, batch_of, hunted, replay

__all__ = ["main"]

SECONDS: Final = 3600.0
TELL_S: Final = 60.0
TURNS: Final = (
    *(*BAD_INPUTS, "told", "signals"),
    *("whole", "doubled", "whole", "permuted", "whole", "relieved", "limits", "whole") * 3,
)
"""Who hunts, in turn, where nobody is named."""


@dataclass(slots=True)
class Campaign:
    """What was hunted so far, and what was found."""

    finds: Path
    inputs: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    codes: Counter[int | None] = field(default_factory=Counter)
    found: int = 0
    began_s: float = field(default_factory=time.monotonic)

    def take(self, report: Report) -> None:
        """Count what a worker has done, and write down what it found."""
        hunt = report.hunt
        self.inputs[report.hunter] += 1
        self.codes[hunt.code] += 1
        self.left_out[report.hunter] += bool(hunt.left_out)
        if not hunt.found:
            return
        self.found += 1
        self.finds.mkdir(parents=True, exist_ok=True)
        file = self.finds / f"{report.hunter}-{report.seed}.txt"
        said, again = "\n".join(hunt.found), f"replay: {replay(report.hunter, report.seed)}"
        file.write_text(f"{again}\n\n{said}\n\n{hunt.shown}\n", "utf-8", "backslashreplace")
        print(f"{file}: {hunt.found[0][:300]}\n  {again}", flush=True)

    def told(self) -> str:
        """One line."""
        shares = ", ".join(f"{name} {count}" for name, count in sorted(self.inputs.items()))
        partly = sum(self.left_out.values())
        return (
            f"{time.monotonic() - self.began_s:.0f} s: {self.inputs.total()} inputs ({shares}),"
            f" {partly} of them looked at in part; codes {dict(self.codes.most_common())};"
            f" {self.found} finds"
        )


def _run(options: argparse.Namespace) -> int:
    campaign = Campaign(options.finds)
    names = options.hunters or TURNS
    turn, next_seed, told_s = 0, Counter(dict.fromkeys(names, options.seed)), time.monotonic()
    workers = [Worker() for _ in range(options.cores)]
    handed = 0

    def more() -> bool:
        in_time = time.monotonic() - campaign.began_s < options.seconds
        return in_time and (options.count is None or handed < options.count)

    try:
        while any(worker.busy for worker in workers) or more():
            for worker in workers:
                for report in worker.reports():
                    campaign.take(report)
                if not worker.busy and more():
                    name = names[turn % len(names)]
                    turn += 1
                    least = batch_of(name)
                    if options.count is not None:
                        least = min(least, options.count - handed)
                    worker.give(name, range(next_seed[name], next_seed[name] + least))
                    next_seed[name] += least
                    handed += least
            if time.monotonic() - told_s > TELL_S:
                told_s = time.monotonic()
                print(campaign.told(), flush=True)
            time.sleep(0.01)
    finally:
        for worker in workers:
            worker.stop()
    print(campaign.told())
    return int(campaign.found > 0)


def _replayed(hunter: str, seed: int) -> int:
    hunt = hunted(hunter, seed)
    print(hunt.shown)
    if hunt.found and (less := smaller(hunter, seed)):
        print(f"# the least of it in which the same is wrong:\n\n{less}")
    print(*(hunt.left_out or []), *(hunt.found or ["nothing is wrong with it"]), sep="\n")
    return int(bool(hunt.found))


def main(argv: Sequence[str]) -> int:
    """Hunt, or replay."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("hunters", nargs="*", choices=[[], *HUNTERS], metavar="HUNTER")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=int(time.time()) * 1000)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--finds", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("--replay", nargs=2, metavar=("HUNTER", "SEED"))
    options = parser.parse_args(argv)
    if options.replay:
        return _replayed(options.replay[0], int(options.replay[1]))
    print(f"from seed {options.seed} on, finds in {options.finds}", flush=True)
    return _run(options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
