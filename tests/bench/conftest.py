"""Benches in tiny sizes: they must run and yield their fields. Nothing here looks at a time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


@pytest.fixture
def mpirun() -> Path:
    found = Path(sys.executable).with_name("mpirun")
    if not found.exists():
        pytest.skip("no mpirun in this environment: pip install 'adpkv[mpi]'")
    return found
