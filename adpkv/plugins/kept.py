"""Does an object keep a port? By having what the port names: its class need not know adpkv's."""

from __future__ import annotations

import inspect
from typing import Any, cast

from adpkv.errors import UsageError

__all__ = ["kept", "lacks"]


def kept(where: str, given: Any, port: type) -> Any:
    """The object, if it has all that the port names.

    Raises:
        UsageError: it has not, and what is missing.
    """
    missing = lacks(given, port)
    if missing:
        raise UsageError(
            f"{where}: {type(given).__name__} keeps no {port.__name__} port: it has no"
            f" {', '.join(missing)} (adpkv.ports.{port.__name__} says what each is)"
        )
    return given


def lacks(given: object, port: type) -> list[str]:
    """Names of the port that an object has not, in their order. A class is no object, and has
    none; what must be a method must be one."""
    methods, others = _named(port)
    if isinstance(given, type):
        return sorted(methods | others)
    missing = {name for name in methods if not callable(getattr(given, name, None))}
    return sorted(missing | {name for name in others if not hasattr(given, name)})


def class_lacks(given: type, port: type) -> list[str]:
    """Methods of the port that no object of this class can have: what is missing is told before one
    is made. Other attributes may come with the object."""
    if "__getattr__" in dir(given):
        return []
    return sorted(name for name in _named(port)[0] if not callable(getattr(given, name, None)))


def _named(port: type) -> tuple[set[str], set[str]]:
    """The methods of a port, and its other attributes."""
    own = [(n, v) for base in port.__mro__ for n, v in vars(base).items() if not n.startswith("_")]
    methods = {name for name, value in own if inspect.isfunction(value)}
    properties = {name for name, value in own if isinstance(value, property)}
    annotated = {name for base in port.__mro__ for name in _annotated(base)}
    return methods, properties | annotated


def _annotated(base: type) -> list[str]:
    found = cast("dict[str, Any]", vars(base).get("__annotations__", {}))
    return [name for name in found if not name.startswith("_")]
