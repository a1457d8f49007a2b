"""Real runs with timelines, to calibrate the virtual world on: `make calibrate`.

    python -m tests.calibration.campaign FOLDER [--seconds 100] [--requests 2000] [--only NAME ...]

Each experiment is run once, and again while there is time. As many
run side by side as there are cores for: one for each rank, and one for what else a job has (mpirun,
the coordinator's thread); without it two ranks now and then share a core. Where there are fewer
than one experiment needs, it has all of them. FOLDER then has NAME-1, NAME-2 and so on, with a line
in `machine.txt` for each: what else the machine did.
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
SPARE = 1
"""Cores of a run beside those of its ranks."""

SAMPLE = 200
"""Requests of the packaged sample trace, which is repeated until there are enough."""


@dataclass(frozen=True)
class Job:
    """An experiment of the campaign."""

    name: str
    ranks: int
    settings: tuple[str, ...]


def jobs(folder: Path, requests: int) -> list[Job]:
    trace = folder / f"trace-{requests}.jsonl"
    sample = Path(make_sample.__file__).with_name("sample.jsonl")
    trace.write_text("".join(_repeated(sample, -(-requests // SAMPLE))))
    many = f"workload.requests={requests}"
    return [
        Job("quickstart", 8, (many,)),
        Job("closed-loop", 8, (many,)),
        Job("trace-sample", 4, (f"workload.path={trace.absolute()}", "workload.speed=6.0")),
        Job("replicated", 4, (many,)),
        Job("four-ranks", 4, (many,)),
    ]


def _repeated(sample: Path, times: int) -> list[str]:
    """The sample so many times, each time with prompts of its own."""
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
        for time in range(times)
        for row in rows
    ]


class Campaign:
    """Runs the jobs again and again while there is time, each at least once."""

    def __init__(self, folder: Path, jobs: list[Job], cores: list[int], until_s: float) -> None:
        self._folder, self._until_s = folder, until_s
        self._free, self._all = list(cores), len(cores)
        self._runs = dict.fromkeys(jobs, 0)
        self._took_s = dict.fromkeys(jobs, 0.0)
        self._changed = threading.Condition()
        self.failed = 0

    def run(self) -> None:
        """Start whatever fits, until nothing is left that must or may still be run."""
        threads: list[threading.Thread] = []
        with self._changed:
            while True:
                job = self._next()
                if job is not None:
                    cores, self._free = self._free[: self._of(job)], self._free[self._of(job) :]
                    self._runs[job] += 1
                    number = self._runs[job]
                    threads.append(threading.Thread(target=self._one, args=(job, number, cores)))
                    threads[-1].start()
                elif len(self._free) == self._all:
                    break
                else:
                    self._changed.wait()
        for one in threads:
            one.join()

    def _of(self, job: Job) -> int:
        """The cores of a run: one for each rank, and one for what else runs, or all there are."""
        return min(job.ranks + SPARE, self._all)

    def _next(self) -> Job | None:
        """Of those that fit: the one with the fewest runs, the largest first."""
        left_s = self._until_s - time.monotonic()
        fit = [
            job
            for job, runs in self._runs.items()
            if self._of(job) <= len(self._free)
            and (not runs or (self._took_s[job] and self._took_s[job] < left_s))
        ]
        return min(fit, key=lambda job: (self._runs[job], -job.ranks), default=None)

    def _one(self, job: Job, number: int, cores: list[int]) -> None:
        out = self._folder / f"{job.name}-{number}"
        argv = [sys.executable, "-m", "adpkv", "run", job.name, "--quiet", "--out", str(out)]
        for setting in (*job.settings, "observe.timeline=true"):
            argv += ["--set", setting]
        load, began_s = os.getloadavg()[0], time.monotonic()
        try:
            done = subprocess.run(
                argv,
                capture_output=True,
                text=True,
                timeout=BOUND_S,
                check=False,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
            code, errors = done.returncode, done.stderr
        except subprocess.TimeoutExpired:
            code, errors = -1, f"not over after {BOUND_S} s"
        took_s = time.monotonic() - began_s
        said = f"{out.name}: code {code}, {took_s:.1f} s, {len(cores)} cores"
        said += f", load before {load:.1f}"
        print(said, flush=True)
        with self._changed:
            if code:
                self.failed += 1
                if out.exists():
                    out.rename(out.with_name(f"failed-{out.name}"))
            with (self._folder / "machine.txt").open("a") as file:
                file.write(said + "\n" + errors[-2000:])
            self._took_s[job] = took_s
            self._free += cores
            self._changed.notify()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=100)
    parser.add_argument("--requests", type=int, default=2000, help="of each run")
    parser.add_argument("--only", nargs="*", default=[])
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    there = jobs(chosen.folder, chosen.requests)
    wanted = [job for job in there if not chosen.only or job.name in chosen.only]
    cores = sorted(os.sched_getaffinity(0))
    campaign = Campaign(chosen.folder, wanted, cores, time.monotonic() + chosen.seconds)
    campaign.run()
    if campaign.failed:
        raise SystemExit(f"{campaign.failed} runs failed: see {chosen.folder / 'machine.txt'}")


if __name__ == "__main__":
    main()
