"""Plants a mutation in this process: the module is loaded from its changed source.

As a plugin of pytest (`-p tests.mutants.planting`) it plants the one that `ADPKV_MUTANT` numbers;
-1 is none: every module comes from its own text, and no test may notice that.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

from tests.mutants.mutations import ROOT, Mutation, mutations, unchanged

__all__ = ["NUMBER", "plant"]

NUMBER: Final = "ADPKV_MUTANT"


class _Planted(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, mutation: Mutation) -> None:
        self._mutation = mutation

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._mutation.module:
            return None
        return importlib.util.spec_from_loader(name, self)

    def exec_module(self, module: ModuleType) -> None:
        # Under the name of its file, as some tests look for that.
        file = ROOT / f"{self._mutation.module.replace('.', '/')}.py"
        exec(compile(self._mutation.source, str(file), "exec"), module.__dict__)


def plant(mutation: Mutation) -> None:
    """From now on the module is the changed one: nothing of it is imported yet."""
    assert mutation.module not in sys.modules
    sys.meta_path.insert(0, _Planted(mutation))


if NUMBER in os.environ:
    # What this imports itself is no part of what is mutated, but for the draws.
    number = int(os.environ[NUMBER])
    chosen = unchanged() if number < 0 else (mutations()[number],)
    for name in [one for one in sys.modules if one.startswith("adpkv")]:
        del sys.modules[name]
    for one in chosen:
        plant(one)
