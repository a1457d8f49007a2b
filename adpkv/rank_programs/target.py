"""What `adpkv check` is to run: `FILE.py:FUNCTION`, `PACKAGE.MODULE:FUNCTION`, or a script.

`parse` looks only at names and files, so that a wrong call is told before anything runs. The rest
happens on each rank: its own copy of the module is imported, and the function called.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

from adpkv.errors import TargetError
from adpkv.rank_programs.modules import ProgramModules
from adpkv.rank_programs.program_imports import imports_of_program

__all__ = ["MAIN_MODULE", "Target", "arguments_of", "parse_target"]

MAIN_MODULE = "__main__"


@dataclass(frozen=True, slots=True)
class Target:
    """A program: the text that names it, and where it is."""

    text: str
    path: str
    """The file; empty for a module that is named by its import path."""
    module: str
    function: str
    """Empty for a script."""
    code: CodeType | None
    """Of a file."""
    imports: frozenset[str]
    """The top-level modules that the program's files import, as far as their texts say."""

    names_cuda: bool = False
    """Does one of the texts speak of CUDA?"""
    is_async: bool = False
    """Is the function a coroutine?"""
    takes_object: bool = False
    """Does the function take `dist` or `comm`, the object that an executor is given?"""

    @property
    def is_script(self) -> bool:
        """Is it started as a program, as `__main__`?"""
        return not self.function

    @property
    def folder(self) -> str:
        """What stands first in `sys.path`: the file's folder, or the current one."""
        return os.path.dirname(os.path.abspath(self.path)) if self.path else os.getcwd()

    @property
    def roots(self) -> tuple[str, ...]:
        """Files and folders that are the program's wherever they lie."""
        return (os.path.abspath(self.path),) if self.path else ()

    def load(self, modules: ProgramModules) -> Callable[..., Any] | None:
        """On a rank: import the rank's own module. The function to call; None where the module was
        the script itself."""
        if not self.path:
            return self._function(importlib.import_module(self.module))
        module = self._execute(modules)
        return None if self.is_script else self._function(module)

    def _execute(self, modules: ProgramModules) -> ModuleType:
        name = MAIN_MODULE if self.is_script else self.module
        module = ModuleType(name)
        module.__file__ = os.path.abspath(self.path)
        module.__dict__["__builtins__"] = __builtins__
        modules.add(name)
        sys.modules[name] = module
        if not self.is_script:
            module.__spec__ = ModuleSpec(name, None, origin=module.__file__)
        assert self.code is not None
        exec(self.code, module.__dict__)
        return module

    def _function(self, module: ModuleType) -> Callable[..., Any]:
        found: Any = module
        for part in self.function.split("."):
            found = getattr(found, part, None)
        where = self.path or self.module
        if found is None:
            there = [
                name
                for name, value in vars(module).items()
                if inspect.isfunction(value) and value.__module__ == module.__name__
            ]
            told = f"; it has {', '.join(there[:8])}" if there else ""
            raise TargetError(f"{where} has no function {self.function}{told}")
        if inspect.isclass(found):
            raise TargetError(
                f"{self.function} in {where} is a class: a target is a function, which makes its"
                " objects itself"
            )
        if not callable(found):
            raise TargetError(f"{self.function} in {where} is no function, but {found!r}"[:300])
        function: Callable[..., Any] = found
        return function


def parse_target(text: str) -> Target:
    """The target that is meant. Raises TargetError for what is none."""
    before, colon, function = text.rpartition(":")
    if colon and not function:
        raise TargetError(f"{text}: there is no name of a function after the colon")
    if not colon:
        before, function = text, ""
    if function and not all(part.isidentifier() for part in function.split(".")):
        raise TargetError(f"{text}: {function!r} is no name of a function")
    if before.endswith(".py") or os.path.sep in before:
        return _of_file(text, before, function)
    if not function:
        raise TargetError(
            f"{text}: a target is FILE.py, FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION"
        )
    return _of_module(text, before, function)


def _of_file(text: str, path: str, function: str) -> Target:
    if not os.path.isfile(path):
        raise TargetError(f"{path}: there is no such file")
    try:
        with open(path, "rb") as file:
            text_bytes = file.read()
        tree = ast.parse(text_bytes, os.path.abspath(path))
    except (SyntaxError, ValueError, OSError) as error:
        line = getattr(error, "lineno", None)
        where = f"{path}:{line}" if line else path
        raise TargetError(f"{where}: {getattr(error, 'msg', None) or error}") from None
    code = compile(tree, os.path.abspath(path), "exec", dont_inherit=True)
    stem = os.path.splitext(os.path.basename(path))[0]
    name = stem if stem.isidentifier() and stem not in sys.stdlib_module_names else "rank_program"
    return Target(
        text,
        path,
        name,
        function,
        code,
        *imports_of_program(path, text_bytes, tree, os.path.dirname(os.path.abspath(path))),
        _is_async(tree, function),
        _takes_object(tree, function),
    )


def _of_module(text: str, module: str, function: str) -> Target:
    if not all(part.isidentifier() for part in module.split(".")):
        raise TargetError(f"{text}: {module!r} is no name of a module")
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise TargetError(
            f"{text}: {module} is Python's own; a program of ranks is a function of yours, in a"
            " file or a module with another name"
        )
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        top = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        top = None
    finally:
        sys.path.remove(folder)
    if top is None:
        raise TargetError(f"{text}: there is no module {module.partition('.')[0]}")
    file = _source(top, module)
    if file is None:
        return Target(text, "", module, function, None, frozenset())
    with open(file, "rb") as opened:
        content = opened.read()
    try:
        tree = ast.parse(content, file)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise TargetError(f"{file}:{line}: {getattr(error, 'msg', None) or error}") from None
    found = imports_of_program(file, content, tree, folder)
    about = (_is_async(tree, function), _takes_object(tree, function))
    return Target(text, "", module, function, None, *found, *about)


def _source(top: Any, module: str) -> str | None:
    """The file of a module, found without importing its packages."""
    parts = module.split(".")[1:]
    if not parts:
        return top.origin if top.origin and top.origin.endswith(".py") else None
    for folder in top.submodule_search_locations or ():
        base = os.path.join(folder, *parts)
        for file in (base + ".py", os.path.join(base, "__init__.py")):
            if os.path.isfile(file):
                return file
    raise TargetError(f"there is no module {module}")


def _takes_object(tree: ast.AST, function: str) -> bool:
    name = function.rpartition(".")[2]
    found = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == name]
    return any(arg.arg in ("dist", "comm") for node in found for arg in node.args.args)


def _is_async(tree: ast.AST, function: str) -> bool:
    name = function.rpartition(".")[2]
    return any(isinstance(n, ast.AsyncFunctionDef) and n.name == name for n in ast.walk(tree))


def arguments_of(function: Callable[..., Any], known: dict[str, Any]) -> Sequence[Any]:
    """What to call the function with: parameters are known by their names, such as `rank` and
    `world_size`. Raises TargetError for one that is not known and has no default."""
    code = getattr(function, "__code__", None)
    found = []
    for name, has_default, by_place in _parameters(code, function):
        if by_place and name in known:
            found.append(known[name])
        elif not has_default:
            where = f"{code.co_filename}:{code.co_firstlineno}: " if code is not None else ""
            what = getattr(function, "__qualname__", str(function))
            there = ", ".join(known)
            raise TargetError(f"{where}{what} takes an argument {name!r}; known are {there}")
    return found


_Parameter = tuple[str, bool, bool]

_seen: dict[CodeType, list[_Parameter]] = {}
"""By code: the module is executed anew for each rank, its code is the same. Bounded by the programs
that one process checks."""


def _parameters(code: CodeType | None, function: Callable[..., Any]) -> list[_Parameter]:
    """Name, whether there is a default, and whether it can be given by its place."""
    if code is not None and code in _seen:
        return _seen[code]
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    found = [
        (p.name, p.default is not p.empty, p.kind is not p.KEYWORD_ONLY)
        for p in parameters
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if code is not None:
        _seen[code] = found
    return found
