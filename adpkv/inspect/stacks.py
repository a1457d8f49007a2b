"""The Python stacks of running ranks, requested with SIGUSR1.

Each rank has made `faulthandler` write into a file of the job's directory on this signal. The
handler is written in C. So it works while C code holds the interpreter's lock, and costs the rank
no more than an interrupted system call.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from adpkv.flight_recorder.job_directory import stacks_path
from adpkv.flight_recorder.processes import living_state
from adpkv.inspect.render import rank_spans
from adpkv.inspect.snapshot import RankObservation

__all__ = ["ask_stacks", "stack_lines"]

ANSWER_BOUND_S: Final = 2.0
"""A rank answers within 6 ms where it gets a core."""

LOOK_S: Final = 0.02
STABLE_LOOKS: Final = 3
"""A file whose size was the same this many times in a row is complete."""

_THREAD_ID: Final = re.compile(r"0x[0-9a-f]+")


def ask_stacks(folder: Path, ranks: Sequence[RankObservation]) -> dict[int, str]:
    """By rank: its stacks, or in parentheses why it cannot answer."""
    answers, asked = {}, []
    for one in ranks:
        problem = _ask(folder, one)
        if problem:
            answers[one.rank] = problem
        else:
            asked.append(one.rank)
    answers.update(_collected(folder, asked))
    return dict(sorted(answers.items()))


def _ask(folder: Path, one: RankObservation) -> str:
    """Send the request; returns why that is not possible, or an empty text."""
    path = stacks_path(folder, one.rank)
    if one.process != "alive":
        return f"({one.process}: it cannot answer)"
    try:
        # A rank creates this file when it installs the handler; without one, SIGUSR1 would end it.
        os.truncate(path, 0)
        if living_state(one.pid, one.start_ticks) != "alive":
            return "(gone: it cannot answer)"
        os.kill(one.pid, signal.SIGUSR1)
    except OSError as error:
        return f"(cannot be asked: {error.strerror})"
    return ""


def _collected(folder: Path, asked: Sequence[int]) -> dict[int, str]:
    until_s = time.monotonic() + ANSWER_BOUND_S
    sizes: dict[int, int] = {}
    same = 0
    while same < STABLE_LOOKS and time.monotonic() < until_s:
        time.sleep(LOOK_S)
        now = {rank: _size(stacks_path(folder, rank)) for rank in asked}
        same = same + 1 if now == sizes and all(now.values()) else 0
        sizes = now
    answers = {}
    for rank in asked:
        answers[rank] = "(it did not answer)"
        with suppress(OSError):
            text = stacks_path(folder, rank).read_text(errors="replace").strip()
            answers[rank] = text or answers[rank]
    return answers


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def stack_lines(stacks: Mapping[int, str]) -> list[str]:
    """Lines for a screen: equal stacks once, those of the fewest ranks first."""
    same: dict[str, list[int]] = {}
    for rank, text in stacks.items():
        same.setdefault(_THREAD_ID.sub("", text), []).append(rank)
    lines = []
    for ranks in sorted(same.values(), key=lambda found: (len(found), found[0])):
        which = "rank" if len(ranks) == 1 else "ranks"
        lines += ["", f"{which} {rank_spans(ranks)}:"]
        lines += [f"  {line}".rstrip() for line in stacks[ranks[0]].splitlines()]
    return lines
