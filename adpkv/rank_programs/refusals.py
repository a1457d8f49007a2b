"""What leaves the model is refused at its call site: sockets, processes, threads.

Other parties that no schedule decides about would make a schedule unrepeatable, and their waits
look like computation. Python's audit events name these calls, but for threads before 3.12; the one
hook is installed once for the process (it cannot be taken out) and looks only at ranks.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Callable
from typing import Final

from adpkv.errors import LeavesTheModelError
from adpkv.rank_programs.driver import Driver

__all__ = ["ALLOWABLE", "Refusals"]

ALLOWABLE: Final = {
    "socket": ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo"),
    "process": ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system",
                "os.exec"),
    "thread": ("_thread.start_new_thread",),
    "zmq": ("zmq.Socket",),
    "rpc": ("torch.distributed.rpc.init_rpc",),
    "unreceived": (), "unwaited": (),
}  # fmt: skip
"""What `--allow` may name, and the audit events that it stands for. `zmq` and `rpc` are not
Python's: libraries that open sockets and start threads in C raise none, so that their calls are
replaced. The last two are what may be left at the end (`session`)."""

_WORDS: Final = {
    "socket": "uses a socket ({event})",
    "process": "starts a process ({event})",
    "thread": "starts a thread of its own",
    "zmq": "uses ZeroMQ ({event})",
    "rpc": "uses torch's RPC ({event})",
}

_IN_C: Final = (
    ("zmq", "Socket", "__init__", "zmq.Socket"),
    ("torch.distributed.rpc", "", "init_rpc", "torch.distributed.rpc.init_rpc"),
)
"""Module, class and name of what is replaced, and the event in its place. torch's is there once a
program's adapter has imported it."""

_BY_EVENT: Final = {event: word for word, events in ALLOWABLE.items() for event in events}

_active: list[Refusals] = []
"""Innermost last: the hook outlives those that use it."""


class Refusals:
    """To be used as a context around a number of schedules; `allowed` are words of `ALLOWABLE`."""

    installed = False

    def __init__(self, driver: Driver, allowed: frozenset[str], option: str) -> None:
        """`option`: how a person allows a `{word}`."""
        self._driver, self._allowed, self._option = driver, allowed, option
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Refusals:
        if not Refusals.installed:
            Refusals.installed = True
            sys.addaudithook(_hook)
        _active.append(self)
        self._start = threading.Thread.start
        threading.Thread.start = _start(self._start)  # type: ignore
        self._exit = os._exit
        os._exit = self._refused_exit  # type: ignore[assignment]
        for module, owner, name, event in _IN_C:
            self._watch(module, owner, name, event)
        return self

    def _watch(self, module: str, owner: str, name: str, event: str) -> None:
        """Look at each call of a function of a library, if that is there."""
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            return
        found = sys.modules.get(module) if "." in module else importlib.import_module(module)
        place = getattr(found, owner) if owner else found
        real = getattr(place, name, None)
        if real is None:
            return

        def call(*arguments: object, **named: object) -> object:
            _hook(event, ())
            return real(*arguments, **named)

        setattr(place, name, call)
        self._undo.callback(setattr, place, name, real)

    def __exit__(self, *_: object) -> None:
        threading.Thread.start = self._start  # type: ignore[method-assign]
        os._exit = self._exit
        self._undo.close()
        _active.remove(self)

    def _refused_exit(self, status: int) -> None:
        if self._driver.rank_here() is None:
            self._exit(status)
        raise LeavesTheModelError(
            "the program ends its process by os._exit, and all ranks are in this one: sys.exit ends"
            " a rank"
        )

    def look(self, event: str) -> None:
        """Raise LeavesTheModelError if the running rank must not do this."""
        word = _BY_EVENT[event]
        if word in self._allowed or self._driver.rank_here() is None:
            return
        told = _WORDS[word].format(event=event)
        raise LeavesTheModelError(
            f"the program {told}, which no schedule can decide about;"
            f" {self._option.format(word=word)} lets it"
        )


def _start(real: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    def start(self: threading.Thread) -> None:
        _hook("_thread.start_new_thread", ())
        real(self)

    return start


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _active and event in _BY_EVENT:
        _active[-1].look(event)
