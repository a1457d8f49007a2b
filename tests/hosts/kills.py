"""Ranks killed at random over two hosts, one job after the other; the campaign `make kills-hosts`.

    python -m tests.hosts.kills FOLDER [KILLS] [SEED]

Ends with 1 if a job did not end as it has to, or left something behind on either host.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Final

from tests.hosts.conftest import LONG, SHARED, left_behind, starting
from tests.hosts.pair import Pair, lacking, pair

MOST_LATER_S: Final = 1.0
"""After a job is well under way."""

PATIENT: Final = "diagnosis.hang_timeout=15s"
"""Beside a load of 30 on two cores a recovery over both hosts took more than three seconds."""


def killed(hosts: Pair, folder: Path, victim: int, policy: str, later_s: float) -> str:
    """One job, in which one rank fails; what was wrong with its end."""
    goes_on = policy == "shrink" and victim != 0
    requests = "workload.requests=60" if goes_on else LONG
    with starting(hosts, folder) as start:
        job = start(requests, f"on_rank_failure={policy}", SHARED, PATIENT, spread=True)
        job.served()
        time.sleep(later_s)
        os.kill({**hosts.first.ranks(), **hosts.second.ranks()}[victim], signal.SIGKILL)
        found = job.finish()
        if found.code != (0 if goes_on else 5):
            return f"code {found.code}\n{found.err}"
        return ", ".join(left_behind(hosts))


def main() -> int:
    folder, kills, seed = Path(sys.argv[1]), *map(int, [*sys.argv[2:], "20", "1"][:2])
    if why := lacking():
        print(why, file=sys.stderr)
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    draws, wrong = random.Random(seed), 0
    with pair(folder) as hosts:
        for number in range(kills):
            victim, later_s = draws.randrange(4), draws.uniform(0, MOST_LATER_S)
            policy = draws.choice(["shutdown", "shrink"])
            problem = killed(hosts, folder / str(number), victim, policy, later_s)
            wrong += bool(problem)
            print(
                number, f"rank {victim}, {policy}, {later_s:.2f} s:", problem or "fine", flush=True
            )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
