"""`quick.c`, compiled for tests; a plain Python imports it by `real_ranks/over_quick`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
from hashlib import sha256
from pathlib import Path
from typing import Final

__all__ = ["QUICK", "QuickError", "quick_in_c"]

QUICK: Final = "ADPKV_TEST_QUICK"
"""The variable that says where it is."""

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "adpkv" / "flight_recorder" / "quick.c"
STATES: Final = SOURCE.with_name("quick_states.h")
STRICT: Final = (
    "-O2", "-Wall", "-Wextra", "-Werror",
    "-Wno-unused-parameter", "-Wno-missing-field-initializers", "-Wno-cast-function-type",
)  # fmt: skip
"""What is left out is how extension modules are written."""


class QuickError(Exception):
    """There is no C compiler, or it does not take the file."""


def quick_in_c() -> Path:
    """The extension module, compiled once for a source and a Python.

    Raises:
        QuickError: it cannot be.
    """
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    sources = SOURCE.read_bytes() + STATES.read_bytes()
    named = sha256(sources + suffix.encode()).hexdigest()[:16]
    made = ROOT / "build" / f"quick-{named}{suffix}"
    if made.exists():
        return made
    compiler = shlex.split(os.environ.get("CC") or "cc")[0]
    made.parent.mkdir(exist_ok=True)
    part = made.with_suffix(f".{os.getpid()}")
    command = [compiler, *STRICT, "-shared", "-fPIC", f"-I{sysconfig.get_path('include')}"]
    try:
        subprocess.run(
            [*command, SOURCE, "-o", part], check=True, capture_output=True, text=True, timeout=120
        )
    except FileNotFoundError as error:
        raise QuickError(f"there is no C compiler ({compiler})") from error
    except subprocess.CalledProcessError as error:
        raise QuickError(error.stderr) from error
    part.rename(made)
    return made
