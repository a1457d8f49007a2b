"""`adpkv ARGV` for a test of what a command says and ends with: a fork of this process.

What everybody imports is there already, which takes a third of a second otherwise. That a command
starts by itself, and imports what it needs, is for `test_app`, `test_streams` and `test_windows`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.fuzz.child import command

__all__ = ["adpkv"]


def adpkv(folder: Path, *argv: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it in a folder, with more in its environment."""
    before = dict(os.environ)
    os.environ |= environment
    try:
        said = command([str(word) for word in argv], folder)
    finally:
        os.environ.clear()
        os.environ |= before
    return subprocess.CompletedProcess(list(argv), said.code, said.out, said.err)
