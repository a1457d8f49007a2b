"""The wheel with its hot modules compiled: `ADPKV_COMPILE=1 pip install .`. How is in
`compiling.py`.

A build hook of hatch (pyproject.toml). Without ADPKV_COMPILE it does nothing, and the wheel is
plain Python. A C compiler and Python's headers are needed only here. The sources stay in the wheel
beside what was made of them, so that a traceback shows its lines.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))  # hatch runs this file, and knows no others here

from native_values import COPY, NATIVE

__all__ = ["CompiledBuild", "compiled_modules", "lacks"]

WANTED = "ADPKV_COMPILE"
NEEDS = ["mypy>=2.4", "setuptools>=75"]
COMPILING = Path(__file__).with_name("compiling.py")

FOLDERS = ("core", "executor", "faults", "worlds/virtual")
FILES = (
    *(f"memory/{name}.py" for name in ("book", "slot_book", "virtual", "virtual_staging")),
    *(f"model/{name}.py" for name in ("cost", "port")),
    "native_value.py",
    "random_draws.py",
    "memory/reuse.py",
    *(f"output/{name}.py" for name in ("json_lines", "requests")),
    *(f"transport/{name}.py" for name in ("posting", "virtual", "virtual_link")),
    *(f"transport/{name}.py" for name in ("staged", "staged_chunks", "staged_slots")),
    "traces/mooncake.py",
    *(f"workload/{name}.py" for name in ("arrivals", "cancels", "columns", "reading", "shapes")),
    "workload/traces.py",
)
LEFT_OUT = frozenset(
    {
        # What stands in a stuck rank's stack: a compiled coroutine has no frames to show.
        "executor/loop.py",
        "faults/process.py",
        # They end processes, or put a run together: nothing to gain.
        "faults/process_real.py",
        "worlds/virtual/run.py",
    }
)


STRUCT = "(msgspec.Struct"
"""mypyc 2.4 forgets what such a class says of itself (frozen, array_like, tag): it stays Python,
but for those that are made native classes (`native_values`)."""


def compiled_modules(package: Path) -> list[Path]:
    """The files that are compiled, of a folder `adpkv`. Packages themselves stay as they are."""
    found = [path for folder in FOLDERS for path in sorted((package / folder).glob("*.py"))]
    found += [package / name for name in FILES]
    out = {package / name for name in LEFT_OUT}
    return [
        path
        for path in found
        if path not in out and path.name != "__init__.py" and _is_understood(package, path)
    ]


def _is_understood(package: Path, path: Path) -> bool:
    native = path.relative_to(package).as_posix() in NATIVE
    return native or STRUCT not in path.read_text("utf-8")


class CompiledBuild(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the extension modules into the wheel if they are wanted."""

    def dependencies(self) -> list[str]:
        """What the build needs besides hatchling, in an environment of its own."""
        # mypy reads the types of what adpkv imports.
        return [*NEEDS, *self.metadata.core.dependencies] if _wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile in a copy, and say which files the wheel gets besides its sources."""
        if not _wanted():
            return
        if version == "editable":
            self.app.abort(f"{WANTED}: an editable install is plain Python; leave out -e")
        wrong = lacks()
        if wrong:
            self.app.abort(f"{WANTED}: {wrong}")
        folder = Path(tempfile.mkdtemp(prefix="adpkv-compiled-"))
        self._folder = folder
        shutil.copytree(Path(self.root, "adpkv"), folder / "adpkv")
        shutil.copytree(Path(self.root, "configs"), folder / "adpkv" / "configs")
        if subprocess.run([sys.executable, COMPILING], cwd=folder, check=False).returncode:
            self.finalize(version, build_data, "")
            self.app.abort(f"{WANTED}: mypyc or the C compiler failed, see above")
        for pattern in (f"*{sysconfig.get_config_var('EXT_SUFFIX')}", f"*{COPY}.py"):
            for made in folder.rglob(pattern):
                inside = made.relative_to(folder)
                if inside.parts[0] != "build":
                    build_data["force_include"][str(made)] = str(inside)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Take away the copy."""
        if hasattr(self, "_folder"):
            shutil.rmtree(self._folder, ignore_errors=True)


def _wanted() -> bool:
    return os.environ.get(WANTED, "") not in ("", "0")


def lacks() -> str:
    """What is missing for a build in C; empty if nothing is."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler}): apt install gcc, or set CC"
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").is_file():
        return f"Python's headers are not in {headers}: apt install python3-dev"
    return ""
