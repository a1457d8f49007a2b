"""Makes reading a clock, a random source or an address an error, at the call, while a run of the
virtual world is made: what decides may depend on nothing but its arguments.

The order of a set cannot be watched while a program runs; `tests/test_entropy.py` looks for it in
the text, and runs seeds under several hash seeds.
"""

from __future__ import annotations

import builtins
import os
import random
import secrets
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import ModuleType
from typing import Any, Final

from adpkv.errors import AdpkvError

__all__ = ["AUDITED", "EntropyError", "audited"]

AUDITED: Final = ("adpkv.core", "adpkv.executor", "adpkv.worlds.virtual")
"""The packages that may not."""

_CLOCKS: Final = tuple(
    name
    for name in dir(time)
    if name.startswith(("time", "monotonic", "perf_counter", "process_time", "thread_time"))
    and callable(getattr(time, name))
)
_RANDOM: Final = tuple(
    name for name in random.__all__ if name[0].islower() and callable(getattr(random, name))
)
_SOURCES: Final[tuple[tuple[ModuleType, tuple[str, ...]], ...]] = (
    (time, _CLOCKS),
    (random, _RANDOM),
    (os, ("urandom", "getrandom", "getpid")),
    (secrets, ("token_bytes", "token_hex", "randbelow", "choice")),
    (uuid, ("uuid1", "uuid4")),
    (builtins, ("id", "hash")),
)


class EntropyError(AdpkvError):
    """Code that must be deterministic has read something that is not."""


@contextmanager
def audited() -> Iterator[None]:
    """While this is open, the packages `AUDITED` may call none of the sources. Others may: a thread
    beside the run, or a library."""
    before: list[tuple[ModuleType, str, Any]] = []
    try:
        for module, names in _SOURCES:
            for name in names:
                source = getattr(module, name, None)
                if source is not None:
                    before.append((module, name, source))
                    setattr(module, name, _watched(f"{module.__name__}.{name}", source))
        yield
    finally:
        for module, name, source in before:
            setattr(module, name, source)


def _watched(name: str, source: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(source)
    def asked(*args: Any, **kwargs: Any) -> Any:
        frame = sys._getframe(1)
        caller = frame.f_globals.get("__name__", "")
        if isinstance(caller, str) and caller.startswith(AUDITED):
            raise EntropyError(
                f"{frame.f_code.co_filename}:{frame.f_lineno}: {caller} calls {name}: what decides"
                " in virtual time must depend on nothing but its arguments"
            )
        return source(*args, **kwargs)

    return asked
