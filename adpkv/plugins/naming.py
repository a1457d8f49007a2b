"""From a factory object to its name, by which other processes can import it."""

from __future__ import annotations

import functools
import sys
from typing import Any

from adpkv.errors import UsageError
from adpkv.plugins.names import Slot

__all__ = ["named"]


def named(slot: Slot, given: Any) -> tuple[str, dict[str, Any]]:
    """(name, parameters) of what a caller has given for a slot: a name, a class or function that
    can be imported, or a `functools.partial` of one.

    Raises:
        UsageError: another process cannot import it; the message says what to do.
    """
    argument = slot.port.lower()
    if isinstance(given, str):
        return given, {}
    if isinstance(given, functools.partial):
        if given.args:
            raise UsageError(f"{argument}: give the arguments of the partial by name")
        if slot.parameters:
            return named(slot, given.func)[0], dict(given.keywords)
        raise UsageError(f"{argument}: {slot.key} takes no parameters: give a function without any")
    module, path = getattr(given, "__module__", None), getattr(given, "__qualname__", None)
    if path is None:
        raise UsageError(
            f"{argument}: {type(given).__name__} is an object of this process, and each rank is a"
            f" process of its own: give what makes it, {_advice(argument)}"
        )
    if not module or "<" in path or module == "__main__":
        raise UsageError(
            f"{argument}: ranks cannot import {path} of {module}: put it into a module, at its top,"
            f" and give {_advice(argument)}"
        )
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    if found != given:
        raise UsageError(
            f"{argument}: {module}:{path} is not this {type(given).__name__}: give the name under"
            f" which ranks can import it, {_advice(argument)}"
        )
    return f"{module}:{path}", {}


def _advice(argument: str) -> str:
    return f"{argument}='mypackage.module:Factory', or the class or function itself"
