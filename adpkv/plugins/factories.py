"""From a name to a factory: import it, check it, and call it.

Whatever goes wrong there is the plugin's fault. It is reported as an error that the user can
correct: where it was raised and its message, without a traceback.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from adpkv.errors import UsageError
from adpkv.plugins.foreign import raised
from adpkv.plugins.names import Slot, installed
from adpkv.plugins.port_check import check_port, missing_methods

__all__ = ["Factory", "called", "factory", "fits", "made"]

Factory = Callable[..., Any]

EXPERIMENT: Final = "experiment"
"""A factory that has a parameter of this name gets the experiment in it."""


def factory(slot: Slot, name: str, port: type, world: str = "") -> Factory | None:
    """Import the factory of this name, without calling it; None for a name of adpkv's own.

    Args:
        slot, name: the experiment's key, and the name in it.
        port: the port that the factory's product must implement. A class that lacks one of its
            methods is refused.
        world: "virtual" or "mpi", where it is to be used; empty for any. A factory may restrict
            itself with an attribute `worlds`.

    Raises:
        UsageError: it cannot be imported, is not callable, or is only for the other world.
    """
    if name in slot.ours:
        return None
    module, path = _found(slot, name)
    make: Any = _attribute(slot, name, _imported(slot, name, module), module, path)
    if not callable(make):
        raise UsageError(
            f"{slot.key}: {name} is no factory but {_a(make)}: name the class, or a function that"
            " makes one"
        )
    missing = missing_methods(make, port) if isinstance(make, type) else []
    if missing:
        raise UsageError(
            f"{slot.key}: {name} is no {port.__name__}: it has no {', '.join(missing)}"
            f" (adpkv.ports.{port.__name__} says what each is)"
        )
    worlds = getattr(make, "worlds", None)
    if world and worlds is not None and world not in worlds:
        raise UsageError(f"{slot.key}: {name} is for {' and '.join(worlds)} only, not for {world}")
    found: Factory = make
    return found


def made(
    slot: Slot, name: str, parameters: Mapping[str, Any], experiment: object, port: type
) -> Any:
    """Import and call the factory of this name; returns what it makes.

    Raises:
        UsageError: there is no such factory, it does not take the parameters, it raises, or its
            product does not implement the port.
    """
    make = factory(slot, name, port)
    assert make is not None, f"{name} is ours"
    arguments = fits(slot, name, make, parameters, experiment)
    return check_port(slot.key, called(slot, name, make, **arguments), port)


def fits(
    slot: Slot, name: str, make: Factory, parameters: Mapping[str, Any], experiment: object
) -> dict[str, Any]:
    """The keyword arguments for a factory: `parameters`, and the experiment if it has such a
    parameter.

    Raises:
        UsageError: the factory does not take one of them, or needs another.
    """
    arguments = dict(parameters)
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):  # written in C, without a signature
        return arguments
    known = signature.parameters
    named = [key for key, one in known.items() if one.kind in (one.KEYWORD_ONLY, _EITHER)]
    section = slot.key.rpartition(".")[0]
    if EXPERIMENT in arguments:
        raise UsageError(f"{section}.{EXPERIMENT}: is given to the factory by adpkv: leave it out")
    if EXPERIMENT in named:
        arguments[EXPERIMENT] = experiment
    takes_all = any(one.kind is one.VAR_KEYWORD for one in known.values())
    for key in parameters:
        if key not in named and not takes_all:
            near = difflib.get_close_matches(key, named, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(named) or 'none'}"
            raise UsageError(f"{section}.{key}: is no parameter of {name}; {hint}")
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise UsageError(f"{section}: {name} needs more parameters: {error}") from None
    return arguments


_EITHER: Final = inspect.Parameter.POSITIONAL_OR_KEYWORD


def called(slot: Slot, name: str, make: Factory, *given: Any, **arguments: Any) -> Any:
    """Call the factory.

    Raises:
        UsageError: it raised an error; the message says which, and where.
    """
    try:
        return make(*given, **arguments)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{slot.key}: {name} {raised(error)}") from error


def _found(slot: Slot, name: str) -> tuple[str, str]:
    """(module, attribute) of a name that is not one of adpkv's own.

    Raises:
        UsageError: no package, or more than one, has an entry point of this name.
    """
    module, colon, path = name.partition(":")
    if colon:
        return module, path
    offered = installed(slot).get(name, [])
    if not offered:
        raise UsageError(f"{slot.key}: no installed package offers {name!r} in {slot.group}")
    if len({one.value for one in offered}) > 1:
        choices = " or ".join(one.value for one in offered)
        raise UsageError(f"{slot.key}: several packages offer {name!r}: write {choices}")
    return offered[0].module, offered[0].attr


def _imported(slot: Slot, name: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module == missing or module.startswith(f"{missing}."):
            raise UsageError(
                f"{slot.key}: {name} cannot be imported: there is no module {missing}, here"
                f" ({Path.cwd()}) or where Python looks"
            ) from None
        why = raised(error)
    except (Exception, SystemExit) as error:
        why = raised(error)
    raise UsageError(f"{slot.key}: {name} cannot be imported: it {why}") from None


def _attribute(slot: Slot, name: str, found: Any, module: str, path: str) -> Any:
    file = getattr(found, "__file__", None) or module
    for part in path.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, dir(found), n=1)
            hint = f": did you mean {near[0]}?" if near else ""
            raise UsageError(f"{slot.key}: {name}: {file} has no {part}{hint}")
        found = getattr(found, part)
    return found


def _a(thing: object) -> str:
    name = type(thing).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
