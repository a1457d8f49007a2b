"""When Python looks for circles among objects: behind each run, not in the middle of one.

The objects of a job refer to each other, so a job that is over stays until that search finds it.
By default Python searches after so many new objects, wherever it is then, and looks at all that the
run under way has made. Behind a run nothing of it lives, and its objects are still in the caches of
the processor: a search takes half as long.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

__all__ = ["collected_apart", "keep_what_is_imported"]

YOUNG, MIDDLE, OLD = range(3)
OLD_EVERY = 20
"""After so many batches of a process what has outlived one is looked at too."""

_BATCHES = count(1)
"""Of this process: the numbers of the batches that it gets may all be odd."""


def keep_what_is_imported() -> None:
    """What a process has by now it needs to its end: no search looks at it again."""
    gc.freeze()


@contextmanager
def collected_apart() -> Iterator[Callable[[], object]]:
    """While a batch has this open, Python searches only when what it gives is called. At the end of
    each twentieth batch all objects of the process are looked at."""
    number, before = next(_BATCHES), gc.isenabled()
    gc.disable()
    try:
        yield lambda: gc.collect(YOUNG)
    finally:
        try:
            gc.collect(MIDDLE if number % OLD_EVERY else OLD)
        finally:  # Ctrl-C may end the search
            if before:
                gc.enable()
