"""A GPU that is none: CuPy's stand-in, in this process."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FAKE = Path(__file__).resolve().parent / "fake"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The stand-in for `cupy.cuda.runtime`, new for each test."""
    if shutil.which("g++") is None:
        pytest.skip("no g++ to compile the kernels for the processor with")
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_cupy(name)}
    monkeypatch.syspath_prepend(str(FAKE))
    runtime = importlib.import_module("cupy").cuda.runtime
    yield runtime
    for address in list(runtime.maps):
        runtime.forbid = False
        runtime.free(address)
    for name in [name for name in sys.modules if _is_cupy(name)]:
        del sys.modules[name]
    sys.modules.update(kept)


def _is_cupy(name: str) -> bool:
    return name == "cupy" or name.startswith("cupy.")
