"""The group of all commands: what of them is not asked for is neither imported nor made.

Typer builds every option of all commands before it looks which one is meant (40 ms). For any help
and any usage error it loads a parser of Markdown and a highlighter of Python (60 ms), and for an
option that nobody gave it loads pydantic (60 ms). `adpkv --help` needs of each command its name and
docstring, and of those three nothing; nor do `adpkv COMMAND --help` and a typing error.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from adpkv.errors import UsageError
from adpkv.pydantic_plugins import without_plugins

__all__ = ["CommandGroup", "Commands"]

COMPLETION: Final = ("install_completion", "show_completion")
INSTALLS: Final = "--install-completion"
OF_TYPER: Final = (*COMPLETION, "help")
UNUSED: Final = ("rich.markdown", "rich.traceback")

USAGE_ERROR: Final[type[BaseException]] = typer.BadParameter.__mro__[1]
"""What typer raises for a wrong command line, which it does not export by its own name."""

Command = Callable[..., None]


class LeanCommand(TyperCommand):
    """A command whose help loads nothing that it does not need."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Typer's; reads the options, each by a model that pydantic compiles of its type."""
        with without_plugins():
            return super().make_context(*args, **kwargs)

    def get_params(self, ctx: Any) -> Any:
        """Typer's."""
        return _false_if_absent(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Typer's help."""
        _load_lean_rich()
        super().format_help(ctx, formatter)


class Commands(Mapping[str, Any]):
    """Commands by name, in the order of `--help`; each is imported and built when it is first asked
    for. The command `x` is the function `x` of the module `x` in `package`."""

    def __init__(self, package: str, commands: Mapping[str, Mapping[str, Any]]) -> None:
        """By name: the settings of its context."""
        self._package, self._commands = package, commands
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            settings = dict(self._commands[name])
            alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            alone.command(name, cls=LeanCommand, context_settings=settings)(self._function(name))
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
        docstrings = {name: inspect.getdoc(self._function(name)) for name in self}
        return {name: TyperCommand(name, help=docstring) for name, docstring in docstrings.items()}

    def _function(self, name: str) -> Command:
        found: Command = getattr(import_module(f"{self._package}.{name}"), name)
        return found


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
        found = _false_if_absent(super().get_params(ctx))
        for one in found:
            if one.name in COMPLETION:
                one.hidden = True
        return found

    def list_commands(self, ctx: Any) -> list[str]:
        """In their order; builds none."""
        return list(self.lazy)

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Typer's; reads the options before the command. --install-completion happens here."""
        told = kwargs.get("args", args[1] if len(args) > 1 else ())
        installs = any(one.split("=")[0] == INSTALLS for one in told)
        try:
            with _lean_errors(), without_plugins():
                return super().make_context(*args, **kwargs)
        except OSError as error:
            if not installs or error.filename is None:
                raise
            raise UsageError(f"{INSTALLS}: {error.filename}: {error.strerror}") from None

    def invoke(self, ctx: Any) -> Any:
        """Typer's; finds the command, reads its options and runs it."""
        with _lean_errors():
            return super().invoke(ctx)

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


def _false_if_absent(params: list[Any]) -> list[Any]:
    """Typer's own switches are None where nobody gives them, and it has pydantic look at that."""
    for one in params:
        if one.name in OF_TYPER and one.default is None:
            one.default = False
    return params


@contextmanager
def _lean_errors() -> Iterator[None]:
    """Typer shows a wrong command line with rich."""
    try:
        yield
    except USAGE_ERROR:
        _load_lean_rich()
        raise


def _load_lean_rich() -> None:
    """Typer's help without a parser of Markdown and a highlighter of Python, and with nothing cut
    off. Whoever imports the modules later gets the real ones."""
    absent = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update({name: _StandIn(name) for name in absent})
    try:
        from typer import rich_utils
    finally:
        for name in absent:
            del sys.modules[name]
    _cut_nothing(rich_utils)


def _cut_nothing(rich_utils: Any) -> None:
    """In a narrow window a word that is longer than its column goes on in the next line: rich puts
    an ellipsis for the end of it, of an option's name too."""

    class WholeTable(rich_utils.Table):  # type: ignore[misc]
        def add_row(self, *cells: Any, **more: Any) -> None:
            super().add_row(*cells, **more)
            for column in self.columns:
                column.overflow = "fold"

    class WholeColumns(rich_utils.Columns):  # type: ignore[misc]
        def __init__(self, parts: Any, *given: Any, **more: Any) -> None:
            for part in parts:
                part.overflow = "fold"
            super().__init__(parts, *given, **more)

    if rich_utils.Table.__name__ != WholeTable.__name__:
        rich_utils.Table, rich_utils.Columns = WholeTable, WholeColumns
