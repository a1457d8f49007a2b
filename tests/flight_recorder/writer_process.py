"""A process that records as fast as it can, until it is killed.

python -m tests.flight_recorder.writer_process FOLDER RECORDS stands|turns

Every field of its collectives follows from the iteration, so that a torn record shows: sequence is
3 times the iteration, bytes 7 times, begin 11 times, end 13 times; its site is named after it.
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from adpkv.executor.collectives import Collective
from tests.flight_recorder.rings import recorder

SITES = 10
STANDS_AT = 1000
"""A writer that stands comes to this iteration, and never leaves it."""


def main(folder: str, records: str, how: str) -> None:
    writer = recorder(Path(folder), records=int(records))
    for i in count(1):
        writer.enter(
            Collective(i % 100, "tp_gather", f"site-{i % SITES}", i, None, ()), 3 * i, 11 * i
        )
        if how == "stands" and i == STANDS_AT:
            print("ready", flush=True)
            sys.stdin.read()
        writer.leave(13 * i, 7 * i)


if __name__ == "__main__":
    main(*sys.argv[1:])
