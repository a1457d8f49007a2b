"""Plugins of pydantic's: not looked for as adpkv compiles its own models, and there for others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PLUGIN = """
class _Plugin:
    def new_schema_validator(self, schema, schema_type, place, kind, config, settings):
        print(place.name)
        return None, None, None
plugin = _Plugin()
"""
MODELS = """
from pathlib import Path
import sys
{before}
from adpkv.config import load
load(Path(sys.argv[1]))
print("metadata" if "importlib.metadata" in sys.modules else "lean")
from pydantic import BaseModel
class Theirs(BaseModel):
    number: int
assert Theirs(number=1).number == 1
"""
"""An experiment is read, and then a model of somebody else is compiled."""

ROOT = Path(__file__).parents[1]


def _told(folder: Path, before: str = "") -> list[str]:
    told = folder / "seen-1.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: seen\nVersion: 1\n")
    (told / "entry_points.txt").write_text("[pydantic]\nseen = seen:plugin\n")
    (folder / "seen.py").write_text(PLUGIN)
    path = os.pathsep.join((str(folder), str(ROOT)))
    done = subprocess.run(
        [sys.executable, "-c", MODELS.format(before=before), ROOT / "configs" / "quickstart.yaml"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


def test_a_plugin_sees_others_models_and_none_of_ours(tmp_path: Path) -> None:
    assert _told(tmp_path) == ["lean", "Theirs"]


def test_who_has_looked_for_plugins_before_has_them(tmp_path: Path) -> None:
    """Then there is nothing to save, and nothing is changed."""
    before = "from pydantic import TypeAdapter; TypeAdapter(int)"
    said = _told(tmp_path, before)
    assert "int" in said[0]
    assert "Experiment" in said
    assert said[-2:] == ["metadata", "Theirs"]
