"""Signals that reach a running simulation, and its progress reports."""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

from adpkv.executor.messages import Pulse
from adpkv.exit_codes import ExitCode, by_signal

if TYPE_CHECKING:
    from adpkv.worlds.virtual.run import Simulation

__all__ = [
    "WATCH_EVERY",
    "Progress",
    "StopFlag",
    "attended",
    "rare_collections",
    "signals",
    "watch",
]

WATCH_EVERY: Final = 2048
"""Events between two checks of the wall clock and of signals."""

Progress = Callable[[int, int, Mapping[int, Pulse], float], None]
"""Called with (requests answered, requests in all, each instance's pulse by index, virtual time in
seconds)."""


class StopFlag:
    """`executor.ports.Signals` of a simulated job: it is one process, so all ranks share one flag.

    A signal may come in the middle of anything. So the handler only sets `noted`. Between two
    events this becomes `code`, which the ranks read, and the world is interrupted.
    """

    def __init__(self) -> None:
        self.noted = 0
        self.code: int = ExitCode.COMPLETED
        """0, or the exit code for the signal that came."""


def watch(job: Simulation, on_progress: Progress | None) -> Callable[[], None]:
    """What the world calls every `WATCH_EVERY` events: it reports progress, and passes a signal on
    to the ranks."""
    pulse_s = job.experiment.observe.pulse_ns / 1e9
    next_s = time.perf_counter() + pulse_s
    passed_on = False

    def look() -> None:
        nonlocal next_s, passed_on
        if job.stop.noted and not passed_on:
            passed_on = True
            job.stop.code = job.stop.noted
            job.world.interrupt()
        if on_progress is not None and time.perf_counter() >= next_s:
            next_s = time.perf_counter() + pulse_s
            on_progress(*job.progress())

    return look


@contextmanager
def attended(job: Simulation) -> Iterator[None]:
    """For a process that does nothing else: the job handles signals, and garbage collection is
    rare."""
    with signals(job), rare_collections():
        yield


@contextmanager
def rare_collections() -> Iterator[None]:
    """Python's cycle collector would walk all live objects of a simulation again and again, for a
    third of the run time, and find nothing: a run creates no reference cycles that it drops.
    Objects that the caller has frozen stay frozen."""
    before, others = gc.get_threshold(), gc.get_freeze_count()
    if not others:
        gc.freeze()
    gc.set_threshold(200_000, 100, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if not others:
            gc.unfreeze()


@contextmanager
def signals(job: Simulation) -> Iterator[None]:
    """SIGHUP, SIGINT and SIGTERM ask the ranks to stop in order, and interrupt nothing. In the main
    thread only. A signal that this process was started to ignore, as SIGHUP under nohup, stays
    ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, _frame: FrameType | None) -> None:
        job.stop.noted = by_signal(number)

    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
