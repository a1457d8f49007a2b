"""The planted changes are many, always the same, and each changes its module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.mutants.mutations import mutations

ROOT = Path(__file__).resolve().parent.parent.parent


def test_there_are_enough_and_each_changes_its_module() -> None:
    found = mutations()
    assert len(found) >= 60
    assert len({one.name for one in found}) == len(found)
    for one in found:
        path = ROOT / f"{one.module.replace('.', '/')}.py"
        assert path.is_file()
        compile(one.source, one.name, "exec")
    assert {one.what.split(": ")[1] for one in found} == {"drop", "swap", "negate", "boundary"}


def test_one_is_planted_and_found() -> None:
    number = next(m.number for m in mutations() if m.module == "adpkv.core.responses")
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutants.hunt", str(number), "2"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONSAFEPATH": ""},
        timeout=300,
        check=True,
    )
    assert json.loads(done.stdout)["signature"]
