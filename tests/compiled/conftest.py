"""`remembers.c`, compiled for tests of what compiled code does in Python's place."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.compiled.in_c import ROOT

LAUNCH = ROOT / "launch"


def made_in(folder: Path, headers: Path = LAUNCH, *flags: str) -> Path:
    """`remembers.c` with these headers, built with the warnings that the build counts as errors."""
    made = folder / f"remembers{sysconfig.get_config_var('EXT_SUFFIX')}"
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    include = [f"-I{headers}", f"-I{sysconfig.get_path('include')}"]
    how = ["-O1", "-Wall", "-Werror", "-shared", "-fPIC", *flags]
    source = str(Path(__file__).with_name("remembers.c"))
    subprocess.run([*compiler, *how, *include, source, "-o", str(made)], check=True)
    return made


def imported(made: Path) -> Any:
    """The extension module in this file."""
    spec = importlib.util.spec_from_file_location("remembers", made)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def remembers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """As it is."""
    return imported(made_in(tmp_path_factory.mktemp("remembers")))
