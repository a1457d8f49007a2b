"""Simulates files of one folder into another: `python -I child.py BUILD FROM TO`.

It must be a process of the environment that it is about, started so that the checkout is not on its
path: of a compiled one it would run the sources. It refuses to be another build than `BUILD`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from adpkv.build import build
from adpkv.config import load
from adpkv.errors import AdpkvError
from adpkv.worlds.virtual.run import simulate


def main(wanted: str, experiments: Path, out: Path) -> None:
    """An error of a run is written down in its folder: both builds must have the same."""
    if build() != wanted:
        sys.exit(f"{sys.executable}: its build is {build()}, not {wanted}")
    for file in sorted(experiments.iterdir()):
        folder = out / file.stem
        try:
            simulate(load(file), out=folder)
        except AdpkvError as error:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "error").write_text(f"{type(error).__name__}: {error}\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
