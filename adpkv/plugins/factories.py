"""From a name to what it stands for: imported, looked at, and called.

Whatever goes wrong in there is the plugin's, and told as what the user can mend: where, and what
it said, without a traceback.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from adpkv.errors import UsageError
from adpkv.plugins.kept import class_lacks, kept
from adpkv.plugins.names import Slot, installed

__all__ = ["Factory", "called", "factory", "fits", "made", "raised"]

Factory = Callable[..., Any]

EXPERIMENT: Final = "experiment"
"""A factory with a parameter of this name is given the experiment."""


def factory(slot: Slot, name: str, port: type, world: str = "") -> Factory | None:
    """What the name stands for, imported; None for one of ours. Nothing is called.

    Args:
        slot, name: the key, and what it says.
        port: what is to be made; a class without a method of it is refused.
        world: "virtual" or "mpi", where it is to be used; empty for any.

    Raises:
        UsageError: it cannot be imported, is no factory, or is for the other world only.
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
    missing = class_lacks(make, port) if isinstance(make, type) else []
    if missing:
        raise UsageError(
            f"{slot.key}: {name} keeps no {port.__name__} port: it has no {', '.join(missing)}"
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
    """What the factory of this name makes of its parameters.

    Raises:
        UsageError: there is none, it does not take them, it raises, or what it makes does not keep
            the port.
    """
    make = factory(slot, name, port)
    assert make is not None, f"{name} is ours"
    arguments = fits(slot, name, make, parameters, experiment)
    return kept(slot.key, called(slot, name, make, **arguments), port)


def fits(
    slot: Slot, name: str, make: Factory, parameters: Mapping[str, Any], experiment: object
) -> dict[str, Any]:
    """The arguments for the factory: the parameters, and the experiment if it asks for it.

    Raises:
        UsageError: it does not take one of them, or needs another.
    """
    arguments = dict(parameters)
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):  # of C, without a signature
        return arguments
    known = signature.parameters
    named = [key for key, one in known.items() if one.kind in (one.KEYWORD_ONLY, _EITHER)]
    section = slot.key.rpartition(".")[0]
    if EXPERIMENT in arguments:
        raise UsageError(f"{section}.{EXPERIMENT}: is what the factory is given by adpkv")
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
        raise UsageError(f"{section}: {name} needs more than is said here: {error}") from None
    return arguments


_EITHER: Final = inspect.Parameter.POSITIONAL_OR_KEYWORD


def called(slot: Slot, name: str, make: Factory, *given: Any, **arguments: Any) -> Any:
    """Call the factory.

    Raises:
        UsageError: it raised; what, and where.
    """
    try:
        return make(*given, **arguments)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{slot.key}: {name} {raised(error)}") from error


def raised(error: BaseException) -> str:
    """What a plugin raised, and where, in words."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and Path(frame.filename) != Path(__file__)
    ]
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    said = " ".join(str(error).split())
    return f"raised {type(error).__name__}{f': {said}' if said else ''}{where}"


def _found(slot: Slot, name: str) -> tuple[str, str]:
    """Module and attribute of a name that is none of ours."""
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
