"""A package of somebody else's, installed for a test: its module and its entry points."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MODULE = "burst_and_co"
SOURCE = Path(__file__).with_name("brought") / f"{MODULE}.py"

ENTRY_POINTS = """\
[adpkv.workloads]
burst = burst_and_co:Burst
[adpkv.models]
constant = burst_and_co:Constant
[adpkv.policies]
last_rank = burst_and_co:LastRank
[adpkv.memories]
elsewhere = burst_and_co:memory
[adpkv.transports]
either = burst_and_co:link
"""


def install(site: Path, name: str = MODULE, entry_points: str = ENTRY_POINTS) -> None:
    """What an installer leaves of a package, in a folder for packages."""
    about = site / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(entry_points)
    shutil.copy(SOURCE, site)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on Python's path, with the package in it."""
    found = tmp_path / "site"
    install(found)
    monkeypatch.syspath_prepend(str(found))
    before = set(sys.modules)
    yield found
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", "") and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]
