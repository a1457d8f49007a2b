"""A memory or a transport that is not ours: what it raises is told as its own.

Such a port has more methods than one class here could name: `Memory` has further ones in each
world, and a transport may have `on_rank_failure`. So each method that it has of the ports is
wrapped as it is, and everything else of it is found through `__getattr__`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adpkv.errors import UsageError
from adpkv.plugins.foreign import is_ours, raised
from adpkv.plugins.port_check import methods_of

__all__ = ["OwnPort", "bare"]


class OwnPort:
    """A custom port, which is `who` in the text of an error.

    Args:
        who: the key and the name in the experiment.
        inner: the caller's object; it implements some of `ports`.
        passes: the errors that are left as they are. Under MPI a recovery begins with the error
            that MPI raises in a call.

    Raises:
        UsageError: (also of every method) the object has raised an error.
    """

    def __init__(
        self, who: str, inner: Any, *ports: type, passes: tuple[type[BaseException], ...] = ()
    ) -> None:
        self.inner = inner
        """The caller's object, which other pieces of the caller's know."""
        for name in sorted({name for port in ports for name in methods_of(port)}):
            method = getattr(inner, name, None)
            if callable(method):
                # In the object's own dictionary: `isinstance` of a protocol looks there.
                setattr(self, name, _told(f"{who}: {name}", method, passes))

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # a copy asks before it has anything
            raise AttributeError(name)
        return getattr(self.inner, name)


def _told(
    what: str, method: Callable[..., Any], passes: tuple[type[BaseException], ...]
) -> Callable[..., Any]:
    def call(*given: Any, **named: Any) -> Any:
        try:
            return method(*given, **named)
        except (Exception, SystemExit) as error:
            if isinstance(error, passes) or is_ours(error):
                raise
            raise UsageError(f"{what} {raised(error)}") from error

    return call


def bare(port: Any) -> Any:
    """The caller's own object; one of ours as it is."""
    return port.inner if isinstance(port, OwnPort) else port
