"""A worker process of a sweep: a task a line on stdin, its row a line on stdout.

`python -m adpkv.sweeps.worker`. It ends when its stdin does. SIGTERM interrupts the run that it is
in the middle of; real ranks are then asked to stop in order, and waited for.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

import msgspec

from adpkv import huge_pages
from adpkv.exit_codes import ExitCode, by_signal
from adpkv.sweeps.perform import perform
from adpkv.sweeps.row import Task

__all__ = ["main"]


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    """Work until there is no more; the exit code."""
    huge_pages.use()
    # What a run prints, or a piece of the user's own, must not come between the rows.
    rows = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGTERM, _interrupt)
    decode, encode = msgspec.json.Decoder(Task).decode, msgspec.json.Encoder().encode
    try:
        for line in sys.stdin.buffer:
            rows.write(encode(perform(decode(line))) + b"\n")
            rows.flush()
    except KeyboardInterrupt:
        return by_signal(signal.SIGTERM)
    except BrokenPipeError:
        pass  # nobody waits for it any more
    return ExitCode.COMPLETED


if __name__ == "__main__":
    code = main()
    # The rows are written. Taking a large job's objects apart, one by one, would take a while.
    os._exit(code)
