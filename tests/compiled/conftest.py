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


@pytest.fixture(scope="module")
def remembers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`remembers.c`, built with the warnings that the build counts as errors."""
    made = (
        tmp_path_factory.mktemp("remembers") / f"remembers{sysconfig.get_config_var('EXT_SUFFIX')}"
    )
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    include = [f"-I{ROOT / 'launch'}", f"-I{sysconfig.get_path('include')}"]
    how = ["-O1", "-Wall", "-Werror", "-shared", "-fPIC"]
    source = str(Path(__file__).with_name("remembers.c"))
    subprocess.run([*compiler, *how, *include, source, "-o", str(made)], check=True)
    spec = importlib.util.spec_from_file_location("remembers", made)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
