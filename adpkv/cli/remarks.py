"""What a command says of an experiment before it runs, and where the names in it are looked for.

Ranks come here too, so this imports nothing of Typer.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from adpkv.cli.launched import launched_rank
from adpkv.terminal import stderr_line

if TYPE_CHECKING:
    from pathlib import Path

    from adpkv.config import Experiment

__all__ = ["found_file", "look_here", "remark", "say"]


def remark(experiment: Experiment) -> None:
    """Print on stderr what one should know of an experiment before it runs; under mpirun once."""
    from adpkv.config.stand_in import stand_in, trace_assumptions

    say(stand_in(experiment))
    say(trace_assumptions(experiment))


def found_file(asked: Path, *, quiet: bool) -> Path:
    """The file of an experiment, by its path or name; prints which one is taken where a file and a
    name both fit."""
    from adpkv.config.shipped import find

    found = find(asked)
    if not quiet:
        say(found.note)
    return found.path


def look_here(experiment: Experiment) -> None:
    """Let `MODULE:FACTORY` be found in the current folder first, as with `python -m`. Where the
    experiment names nothing of the kind, the import path stays as it is."""
    from adpkv.worlds.select_ports import names_others

    here = os.getcwd()
    if names_others(experiment) and here not in sys.path:
        sys.path.insert(0, here)


def say(text: str) -> None:
    """A line on stderr, under mpirun of one rank; none if the text is empty."""
    if text and not launched_rank(os.environ):
        stderr_line(f"adpkv: {text}")
