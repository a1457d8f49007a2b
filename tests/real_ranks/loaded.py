"""Runs an experiment on real ranks while other processes want all cores, and says how it went.

python -m tests.real_ranks.loaded OUT EXPERIMENT [options of adpkv run]

Twice as many processes as there are cores do nothing but compute, from before the job begins until
after it has ended. Meanwhile the job's rings are looked at as its watchdogs do: how long has each
rank stood in the collective that it is in? The exit code is the job's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from adpkv.errors import UsageError
from adpkv.executor.collectives import WORLD
from adpkv.flight_recorder.board import BoardEntry, entry_of
from adpkv.flight_recorder.job_directory import all_jobs, read_info, ring_path
from adpkv.flight_recorder.reader import Ring
from adpkv.worlds.mpi.launcher.process_tree import die_with_parent

BURNERS_PER_CORE: Final = 2
LOOK_S: Final = 0.2
END_BOUND_S: Final = 10.0
BURN: Final = "while True: pass"


@contextmanager
def burning(count: int) -> Iterator[list[int]]:
    """So many processes that compute; their process ids."""
    made = [
        subprocess.Popen([sys.executable, "-c", BURN], preexec_fn=die_with_parent)
        for _ in range(count)
    ]
    try:
        yield [one.pid for one in made]
    finally:
        for one in made:
            one.kill()
        for one in made:
            one.wait(END_BOUND_S)


class Watch:
    """What is seen of a job whose run is written to a folder."""

    def __init__(self, out: Path) -> None:
        self._out = str(out.resolve())
        self._rings: list[Ring] = []
        self.loads: list[float] = []
        self.longest_ns, self.longest = 0, BoardEntry(0, WORLD, entry_of(-1, None).place)
        self.looks = 0

    def look(self) -> None:
        """How busy the machine is, and where the ranks are."""
        self.loads.append(os.getloadavg()[0])
        if not self._rings:
            with suppress(OSError, UsageError):  # it is on its way
                self._rings = self._opened()
        self.looks += bool(self._rings)
        for ring in self._rings:
            entry = entry_of(ring.rank, ring.current())
            stood_ns = time.perf_counter_ns() - entry.since_ns
            if entry.since_ns and entry.group != WORLD and stood_ns > self.longest_ns:
                self.longest_ns, self.longest = stood_ns, entry

    def _opened(self) -> list[Ring]:
        for folder in all_jobs():
            note = read_info(folder)
            if note is not None and note.folder == self._out:
                return [Ring.open(ring_path(folder, rank)) for rank in note.ranks]
        return []

    def told(self) -> list[str]:
        """Both, for people."""
        place, mean = self.longest.place, sum(self.loads) / len(self.loads)
        return [
            f"load average: {min(self.loads):.1f} to {max(self.loads):.1f}, in the mean {mean:.1f}"
            f" ({os.cpu_count()} cores)",
            f"longest stand seen in {self.looks} looks: {self.longest_ns / 1e9:.2f} s, rank"
            f" {place.rank} in {place.kind} at {place.site}, iteration {place.iteration}",
        ]


def main(argv: list[str]) -> int:
    out = Path(argv[0])
    adpkv = Path(sys.executable).with_name("adpkv")
    watch, began_s = Watch(out), time.monotonic()
    with burning(BURNERS_PER_CORE * (os.cpu_count() or 1)) as pids:
        print(f"{len(pids)} processes compute: {' '.join(map(str, pids))}", flush=True)
        job = subprocess.Popen([adpkv, "run", *argv[1:], "--out", str(out)])
        try:
            while job.poll() is None:
                watch.look()
                time.sleep(LOOK_S)
        finally:
            if job.poll() is None:  # this was interrupted, and so was the job
                job.wait()
    alarms = [path.name for path in (out / "deadlock.json",) if path.exists()]
    lines = [f"exit code {job.returncode} after {time.monotonic() - began_s:.0f} s", *watch.told()]
    print("\n".join([*lines, f"alarms: {', '.join(alarms) or 'none'}", f"in {out}"]))
    return job.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
