"""What classes of MPI do not have here is refused with its name, and not as a program's own error.

Also at a class: `MPI.Datatype.Create_struct(...)`. Classes that a program makes of ours miss names
as any class does.
"""

from __future__ import annotations

from typing import Any

from adpkv.errors import NotProvidedError

__all__ = ["Provided"]

_HERE = __name__.rpartition(".")[0]


def _missing(kind: type, name: str) -> AttributeError | NotProvidedError:
    ours = kind.__module__.startswith(_HERE) and name[:1] != "_"
    known = {"Intracomm": "Comm", "GroupOfRanks": "Group", "MatchedMessage": "Message",
             "PersistentRequest": "Prequest"}.get(kind.__name__, kind.__name__)  # fmt: skip
    if not ours:
        return AttributeError(f"{kind.__name__!r} has no attribute {name!r}")
    return NotProvidedError.of_name(f"MPI.{known}.{name}")


class _Kind(type):
    def __getattr__(cls, name: str) -> Any:
        raise _missing(cls, name)


class Provided(metaclass=_Kind):
    """Base of MPI's classes."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        raise _missing(type(self), name)
