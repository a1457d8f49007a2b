"""A worker process of an exploration: a task a line on stdin, its result a line on stdout.

`python -m adpkv.exploration.worker NOTES`. Before each seed its number is written to the file
NOTES: if the seed ends this process, whoever waits for it knows which one it was.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from adpkv import huge_pages
from adpkv.exit_codes import ExitCode
from adpkv.exploration.batch import BatchResult, Task, perform
from adpkv.exploration.garbage import keep_what_is_imported

__all__ = ["main", "measured"]

NOTE_BYTES = 8


def measured(result: BatchResult, made: int) -> BatchResult:
    """With how many seeds this process has made by now, and how large it is."""
    return msgspec.structs.replace(result, made=made, resident_kib=_resident_kib())


def _resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def main(notes: str) -> int:
    """Work until there is no more; the exit code."""
    huge_pages.use()
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed must not come between the results
    descriptor = os.open(notes, os.O_WRONLY)
    decode, encode = msgspec.json.Decoder(Task).decode, msgspec.json.Encoder().encode

    def note(seed: int) -> None:
        os.pwrite(descriptor, seed.to_bytes(NOTE_BYTES, "little"), 0)

    keep_what_is_imported()
    made = 0
    try:
        for line in sys.stdin.buffer:
            result = perform(decode(line), note)
            made += result.last - result.first
            results.write(encode(measured(result, made)) + b"\n")
            results.flush()
    except (BrokenPipeError, KeyboardInterrupt):
        pass  # nobody waits for it any more
    return ExitCode.COMPLETED


if __name__ == "__main__":
    code = main(sys.argv[1])
    os._exit(code)
