"""What comes out of code that is not ours: its errors, told as its own, and its integers."""

from __future__ import annotations

import traceback
from operator import index
from pathlib import Path
from types import FrameType
from typing import SupportsIndex

from adpkv.errors import AdpkvError, BadCallError, UsageError

__all__ = ["as_index", "is_ours", "raised"]


def raised(error: BaseException) -> str:
    """A text about an error that a plugin has raised: its type, message and place. The place is
    never a line of adpkv's own, which only called the plugin, nor one that is in no file."""
    walked = traceback.walk_tb(error.__traceback__)
    places = [(frame.f_code.co_filename, line) for frame, line in walked if not _module(frame)]
    files = [(file, line) for file, line in places if not file.startswith("<")]
    where = f" ({Path(files[-1][0]).name}:{files[-1][1]})" if files else ""
    message = " ".join(str(error).split())
    return f"raised {type(error).__name__}{f': {message}' if message else ''}{where}"


def is_ours(error: BaseException) -> bool:
    """Is it a bug of adpkv, as of a shipped workload that the plugin wraps? It is to be told as
    one, with its traceback. Not so what was raised in the plugin where an `own` module calls it,
    nor what such a workload says of the plugin's arguments."""
    if isinstance(error, AdpkvError):
        return not isinstance(error, UsageError | BadCallError)
    modules = [_module(frame) for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not modules or modules[-1] in _BESIDE:
        return False
    return not (modules[-2:-1] == [""] and _is_refusal(error))


def _is_refusal(error: BaseException) -> bool:
    """What a compiled function says of an argument of another type, before it begins."""
    return isinstance(error, TypeError) and " object expected; got " in str(error)


_BESIDE = ("", "adpkv.model.own", "adpkv.plugins.own_port", "adpkv.workload.own")


def _module(frame: FrameType) -> str:
    """The module of a frame if it is one of adpkv; by name, as a compiled one has another file."""
    name = str(frame.f_globals.get("__name__", ""))
    return name if name.partition(".")[0] == "adpkv" else ""


def as_index(value: object) -> int | None:
    """The value as Python's own integer; None if it is none. Those of numpy are integers too."""
    if type(value) is int:
        return value
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        return None
    try:
        return index(value)
    except Exception:  # an array has the method, and refuses
        return None
