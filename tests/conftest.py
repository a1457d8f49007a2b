"""What holds for all tests: none fails because a machine was slow for a moment, and those that
start real MPI processes are known, and never run beside each other."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("adpkv", deadline=None)
settings.load_profile("adpkv")

REAL = "mpi"
"""The marker of tests that start real MPI processes. No test carries it by hand: who asks for
`mpirun`, also through another fixture, has it."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{REAL}: starts real MPI processes; asking for mpirun sets it"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the real ones, before `-m` is looked at. In parallel (`--dist loadgroup`) they are one
    group, which one process works off: jobs of many ranks would only take each other's cores."""
    for item in items:
        if "mpirun" in getattr(item, "fixturenames", ()):
            item.add_marker(REAL)
            item.add_marker(pytest.mark.xdist_group("real"))


@pytest.fixture(scope="session")
def mpirun() -> Path:
    """The environment's own mpirun."""
    found = Path(sys.executable).with_name("mpirun")
    if not found.exists():
        pytest.skip("no mpirun in this environment: pip install 'adpkv[mpi]'")
    return found
