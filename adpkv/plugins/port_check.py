"""Checks whether an object implements a port, by its attributes: its class need not derive from
adpkv's."""

from __future__ import annotations

import inspect
from typing import Any, cast

from adpkv.errors import UsageError
from adpkv.plugins.foreign import raised

__all__ = ["check_port", "methods_of", "missing_names"]

_BY_PLACE = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)


def check_port(where: str, given: Any, port: type) -> Any:
    """Return `given` if it has all methods and attributes of the port.

    Args:
        where: what the message begins with: the argument or key that has given the object.

    Raises:
        UsageError: some are missing, one raises an error, or a method takes other arguments; the
            message says which.
    """
    try:
        missing = missing_names(given, port)
    except (Exception, SystemExit) as error:  # of a property
        raise UsageError(f"{where}: {type(given).__name__} {raised(error)}") from error
    if missing:
        raise UsageError(
            f"{where}: {type(given).__name__} is no {port.__name__}: it has no"
            f" {', '.join(missing)} (adpkv.ports.{port.__name__} says what each is)"
        )
    for name, value in inspect.getmembers(port, inspect.isfunction):
        _check_arguments(f"{where}: {type(given).__name__}.{name}", given, name, value)
    return given


def _check_arguments(what: str, given: Any, name: str, wanted: Any) -> None:
    """Whether a method can be called as the port's is. One whose arguments nobody knows can."""
    if name.startswith("_"):
        return
    asked = list(inspect.signature(wanted).parameters.values())[1:]
    if any(one.kind not in _BY_PLACE for one in asked):
        return
    try:
        inspect.signature(getattr(given, name)).bind(*asked)
    except ValueError:
        return
    except TypeError as error:
        names = ", ".join(one.name for one in asked)
        raise UsageError(f"{what} must take ({names}): {error}") from None


def missing_names(given: object, port: type) -> list[str]:
    """The methods and attributes of the port that an object lacks, sorted. If `given` is a class
    and not an object, that is all of them."""
    methods, others = _named(port)
    if isinstance(given, type):
        return sorted(methods | others)
    missing = {name for name in methods if not callable(getattr(given, name, None))}
    return sorted(missing | {name for name in others if not hasattr(given, name)})


def missing_methods(given: type, port: type) -> list[str]:
    """The methods of the port that the class `given` lacks, sorted: they are reported before an
    object is made. Other attributes are not checked, as the object may set them."""
    if "__getattr__" in dir(given):
        return []
    return sorted(name for name in _named(port)[0] if not callable(getattr(given, name, None)))


def methods_of(port: type) -> set[str]:
    """The names of a port's methods."""
    return _named(port)[0]


def _named(port: type) -> tuple[set[str], set[str]]:
    """(methods, other attributes) of a port."""
    own = [(n, v) for base in port.__mro__ for n, v in vars(base).items() if not n.startswith("_")]
    methods = {name for name, value in own if inspect.isfunction(value)}
    properties = {name for name, value in own if isinstance(value, property)}
    annotated = {name for base in port.__mro__ for name in _annotated(base)}
    return methods, properties | annotated


def _annotated(base: type) -> list[str]:
    found = cast("dict[str, Any]", vars(base).get("__annotations__", {}))
    return [name for name in found if not name.startswith("_")]
