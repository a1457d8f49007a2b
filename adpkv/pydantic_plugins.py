"""pydantic without a search for its plugins, while adpkv's own models and options are compiled.

With the first model that it compiles in a process, pydantic looks through all installed packages
for plugins of its own, and loads what reads their metadata: an eighth of the start of a short
simulation. Nobody's plugin has to see how adpkv reads its command line and its experiments. What
others compile in the same process, rank programs or custom models, has its plugins as always.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

__all__ = ["without_plugins"]

PLACE: Final = "pydantic.plugin._loader"
"""The module that looks for them. pydantic imports it when it needs it."""


class _StandIn(ModuleType):
    """That module, without anything to find."""

    @staticmethod
    def get_plugins() -> tuple[Any, ...]:
        """None."""
        return ()


@contextmanager
def without_plugins() -> Iterator[None]:
    """Where pydantic has looked already, there is nothing to save: then it changes nothing."""
    if PLACE in sys.modules:
        yield
        return
    stand_in = sys.modules[PLACE] = _StandIn(PLACE)
    try:
        yield
    finally:
        if sys.modules.get(PLACE) is stand_in:
            del sys.modules[PLACE]
