"""Modules that are in C, compiled for tests. A plain Python imports `quick.c` by
`real_ranks/over_quick`."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sysconfig
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

__all__ = ["QUICK", "ROOT", "QuickError", "event_buffer_in_c", "extension", "loaded", "quick_in_c"]

QUICK: Final = "ADPKV_TEST_QUICK"
"""The variable that says where it is."""

ROOT: Final = Path(__file__).parents[2]
STRICT: Final = (
    "-O2", "-Wall", "-Wextra", "-Werror",
    "-Wno-unused-parameter", "-Wno-missing-field-initializers", "-Wno-cast-function-type",
)  # fmt: skip
"""What is left out is how extension modules are written."""


class QuickError(Exception):
    """There is no C compiler, or it does not take the file."""


def quick_in_c() -> Path:
    """`quick.c`.

    Raises:
        QuickError: it cannot be compiled.
    """
    return _in_c("flight_recorder/quick", "flight_recorder/quick_states.h")


def extension(name: str, *defined: str, headers: Sequence[str] = ()) -> Path:
    """`adpkv/{name}.c` as a file to import; skips the test where there is no compiler."""
    try:
        return _in_c(name, *headers, defined=defined)
    except QuickError as error:
        if "there is no C compiler" in str(error):
            pytest.skip(str(error))
        raise


def loaded(name: str, *headers: str) -> ModuleType:
    """The same, imported, beside the module in Python; `headers` are what it includes."""
    file = extension(name, headers=headers)
    spec = importlib.util.spec_from_file_location(Path(name).name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def event_buffer_in_c() -> ModuleType:
    """`event_buffer.c`, imported."""
    return loaded("output/event_buffer", "output/event_keys.h", "output/json_text.h")


def _in_c(name: str, *headers: str, defined: Sequence[str] = ()) -> Path:
    """An extension module, compiled once for a source and a Python."""
    source = ROOT / "adpkv" / f"{name}.c"
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    texts = [path.read_bytes() for path in (source, *[ROOT / "adpkv" / one for one in headers])]
    named = sha256(b"".join(texts) + repr((suffix, *defined)).encode()).hexdigest()[:16]
    made = ROOT / "build" / f"{source.stem}-{named}{suffix}"
    if made.exists():
        return made
    compiler = shlex.split(os.environ.get("CC") or "cc")[0]
    made.parent.mkdir(exist_ok=True)
    part = made.with_suffix(f".{os.getpid()}")
    command = [compiler, *STRICT, *[f"-D{one}" for one in defined], "-shared", "-fPIC"]
    command.append(f"-I{sysconfig.get_path('include')}")
    try:
        subprocess.run(
            [*command, source, "-o", part], check=True, capture_output=True, text=True, timeout=120
        )
    except FileNotFoundError as error:
        raise QuickError(f"there is no C compiler ({compiler})") from error
    except subprocess.CalledProcessError as error:
        raise QuickError(error.stderr) from error
    part.rename(made)
    return made
