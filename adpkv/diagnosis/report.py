"""`deadlock.json`: why the ranks of a job could not go on together, for programs that read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from adpkv.errors import CollectiveMismatchError, DeadlockError, LivelockError, StuckError

__all__ = ["as_values", "write_deadlock"]

NAMES: dict[type[StuckError], str] = {
    CollectiveMismatchError: "mismatch",
    DeadlockError: "deadlock",
    LivelockError: "livelock",
}


def as_values(error: StuckError) -> dict[str, Any]:
    """The error as plain values: what it is, its message, and where each rank was."""
    return {
        "error": NAMES.get(type(error), "stuck"),
        "message": str(error),
        "places": [place._asdict() for place in error.places],
    }


def write_deadlock(path: Path, error: StuckError) -> None:
    """Write it, whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(as_values(error), indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
