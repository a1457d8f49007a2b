"""The group of all commands: what of them is not asked for is not made.

Typer builds every option of all commands before it looks which one is meant (40 ms), and loads a
parser of Markdown and a highlighter of Python for any help (60 ms). `adpkv --help` needs of each
command its name and docstring, and of those two nothing.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["CommandGroup", "Commands"]

COMPLETION: Final = ("install_completion", "show_completion")
UNUSED: Final = ("rich.markdown", "rich.traceback")

Command = Callable[..., None]


class Commands(Mapping[str, Any]):
    """Commands by name, in the order of `--help`; each is built when it is first asked for."""

    def __init__(self, commands: Mapping[str, tuple[Command, Mapping[str, Any]]]) -> None:
        """By name: the function, and the settings of its context."""
        self._commands = commands
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            function, settings = self._commands[name]
            alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            alone.command(name, context_settings=dict(settings))(function)
            self._built[name] = typer.main.get_command(alone)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)

    def __len__(self) -> int:
        return len(self._commands)

    def built(self) -> list[str]:
        """Those that somebody has asked for."""
        return list(self._built)

    def described(self) -> dict[str, Any]:
        """What a help shows of each: name and docstring."""
        return {
            name: TyperCommand(name, help=inspect.getdoc(function))
            for name, (function, _) in self._commands.items()
        }


class CommandGroup(TyperGroup):
    """Typer's two options for completion stand in one sentence below the help and not among the
    options, where a narrow window cuts their long names."""

    lazy: Commands
    """Set by a subclass."""
    commands: Mapping[str, Any]  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands = self.lazy

    def get_params(self, ctx: Any) -> Any:
        """Typer's, some of them hidden."""
        found = super().get_params(ctx)
        for one in found:
            if one.name in COMPLETION:
                one.hidden = True  # type: ignore[attr-defined]
        return found

    def list_commands(self, ctx: Any) -> list[str]:
        """In their order; builds none."""
        return list(self.lazy)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help of all, for which no command is built."""
        self.commands = self.lazy.described()
        _load_lean_rich()
        try:
            super().format_help(ctx, formatter)
        finally:
            self.commands = self.lazy


class _StandIn(ModuleType):
    """A module of rich, as long as typer looks for a class in it that adpkv's help never uses:
    only markup of the kind "markdown" and typer's own tracebacks, which are off, need them."""

    Markdown = object
    Traceback = object


def _load_lean_rich() -> None:
    """Typer's help without a parser of Markdown and a highlighter of Python. Whoever imports the
    modules later gets the real ones."""
    absent = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update({name: _StandIn(name) for name in absent})
    try:
        import typer.rich_utils  # noqa: F401
    finally:
        for name in absent:
            del sys.modules[name]
