"""How a child process runs one of our modules, whatever lies in the current folder.

`python -m` puts the current folder before everything else. A file `yaml.py` or `random.py` there
would be imported in place of the real one, and the child would break.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["python_module"]


def python_module(name: str) -> list[str]:
    """The command that runs this module of adpkv in a Python like this one."""
    # Where adpkv itself is imported from the current folder, a clone, the child needs it too.
    is_here = False
    with suppress(OSError):  # as where the current folder has been removed
        is_here = Path(__file__).parents[1].samefile(os.curdir)
    return [sys.executable, *(() if is_here else ("-P",)), "-m", name]
