"""Real runs with timelines, to calibrate the virtual world on: `make calibrate`.

    python -m tests.calibration.campaign FOLDER [--seconds 100] [--only NAME ...]

Each experiment has 2,000 requests or more, and is run again until its time is over. Where there is
a core for each rank of all experiments they run side by side, each on cores of its own. Otherwise
they run one after the other on all cores. FOLDER then has NAME-1, NAME-2 and so on, with a line in
`machine.txt` for each: what else the machine did.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from adpkv.workload import make_sample

BOUND_S = 240
REPEATED = 10
"""The packaged sample has 200 requests: so often makes 2,000 of it."""


@dataclass(frozen=True)
class Job:
    """An experiment of the campaign."""

    name: str
    ranks: int
    settings: tuple[str, ...]


def jobs(folder: Path) -> list[Job]:
    trace = folder / "trace-2000.jsonl"
    trace.write_text("".join(_repeated(Path(make_sample.__file__).with_name("sample.jsonl"))))
    many = "workload.requests=2000"
    return [
        Job("quickstart", 8, (many,)),
        Job("closed-loop", 8, (many,)),
        Job("trace-sample", 4, (f"workload.path={trace.absolute()}", "workload.speed=6.0")),
        Job("replicated", 4, (many,)),
        Job("four-ranks", 4, (many,)),
    ]


def _repeated(sample: Path) -> list[str]:
    """The sample again and again, each time with prompts of its own."""
    rows = [json.loads(line) for line in sample.read_text().splitlines()]
    length = max(row["timestamp"] for row in rows) + 1000
    most = max(max(row["hash_ids"], default=0) for row in rows) + 1
    return [
        json.dumps(
            {
                **row,
                "timestamp": row["timestamp"] + time * length,
                "hash_ids": [one + time * most for one in row["hash_ids"]],
            }
        )
        + "\n"
        for time in range(REPEATED)
        for row in rows
    ]


def lane(folder: Path, job: Job, cores: set[int], until_s: float) -> None:
    """Run one experiment again and again, at least once, while there is time for another run."""
    took_s, number = 0.0, 0
    while not number or time.monotonic() + took_s < until_s:
        number += 1
        began_s = time.monotonic()
        out = folder / f"{job.name}-{number}"
        argv = [sys.executable, "-m", "adpkv", "run", job.name, "--quiet", "--out", str(out)]
        for setting in (*job.settings, "observe.timeline=true"):
            argv += ["--set", setting]
        load = os.getloadavg()[0]
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=BOUND_S,
            check=False,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        took_s = time.monotonic() - began_s
        said = f"{out.name}: code {done.returncode}, {took_s:.1f} s, {len(cores)} cores"
        said += f", load before {load}"
        print(said, flush=True)
        with (folder / "machine.txt").open("a") as file:
            file.write(said + "\n" + done.stderr[-2000:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=100)
    parser.add_argument("--only", nargs="*", default=[])
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    wanted = [job for job in jobs(chosen.folder) if not chosen.only or job.name in chosen.only]
    here = sorted(os.sched_getaffinity(0))
    lanes = []
    if len(here) >= sum(job.ranks for job in wanted):
        until_s = time.monotonic() + chosen.seconds
        for job in wanted:
            cores, here = set(here[: job.ranks]), here[job.ranks :]
            lanes.append(threading.Thread(target=lane, args=(chosen.folder, job, cores, until_s)))
        for one in lanes:
            one.start()
        for one in lanes:
            one.join()
    else:
        for job in wanted:
            lane(chosen.folder, job, set(here), time.monotonic() + chosen.seconds / len(wanted))


if __name__ == "__main__":
    main()
