"""The program's modules, once for each rank: counters, global models and caches of different ranks
never meet. Libraries are imported once.

`sys.modules` holds the modules of the rank that runs; they are exchanged as the baton goes on. A
finder before all others sees which modules are the program's (`program_files`), and keeps their
code, so that the next schedule executes it again without reading the file.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from adpkv.rank_programs.program_files import ProgramFiles

__all__ = ["ProgramModules"]


class _KeptCode(Loader):
    """Executes a program module; its code is read once for all ranks and schedules."""

    def __init__(self, loader: SourceFileLoader, codes: dict[str, CodeType]) -> None:
        self._loader, self._codes = loader, codes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As usual."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module's code in it."""
        name = module.__name__
        code = self._codes.get(name)
        if code is None:
            found = self._loader.get_code(name)
            assert found is not None, "a source file has code"
            code = self._codes[name] = found
        exec(code, module.__dict__)


class ProgramModules(MetaPathFinder):
    """Which modules each rank has of its own. To be used as a context."""

    def __init__(self, size: int, files: ProgramFiles) -> None:
        self._files = files
        self._own: list[dict[str, ModuleType]] = [{} for _ in range(size)]
        self._names: dict[str, None] = {}
        self._before: dict[str, ModuleType] = {}
        self._codes: dict[str, CodeType] = {}
        self._specs: dict[str, ModuleSpec | None] = {}
        self._current = -1

    def __enter__(self) -> ProgramModules:
        sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.meta_path.remove(self)
        for name in self._names:
            if name not in self._before:
                sys.modules.pop(name, None)

    def begin(self) -> None:
        """A schedule begins: no rank has imported anything."""
        for own in self._own:
            own.clear()

    def add(self, name: str) -> None:
        """This name is a module of each rank."""
        if name not in self._names:
            self._names[name] = None
            if name in sys.modules:
                self._before[name] = sys.modules[name]

    def swap(self, old: int, new: int) -> None:
        """Put the modules of `new` into `sys.modules`, and keep those of `old`."""
        self._current = new
        modules = sys.modules
        before = self._own[old] if old >= 0 else self._before
        after = self._own[new] if new >= 0 else self._before
        for name in self._names:
            module = modules.get(name)
            if module is not None and old >= 0:
                before[name] = module
            module = after.get(name)
            if module is None:
                modules.pop(name, None)
            else:
                modules[name] = module

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a program module; None for any other, which the next finder finds."""
        if self._current < 0 or fullname.partition(".")[0] in self._files.shared:
            return None
        if fullname in self._specs:
            spec = self._specs[fullname]
        else:
            spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
            if spec is None or not isinstance(spec.loader, SourceFileLoader):
                return None
            if spec.origin is None or spec.origin not in self._files:
                return None
            spec.loader = _KeptCode(spec.loader, self._codes)
            self._specs[fullname] = spec
        if spec is None:
            return None
        self.add(fullname)
        fresh = ModuleSpec(fullname, spec.loader, origin=spec.origin)
        fresh.submodule_search_locations = spec.submodule_search_locations
        fresh.has_location = True
        fresh.cached = spec.cached
        return fresh
