"""A finding of `adpkv doctor`, and how a program is asked for one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

__all__ = ["Finding", "Need", "asked"]

PROBE_TIMEOUT_S: Final = 30.0


class Need(StrEnum):
    """Which command does not work without a finding."""

    EVERYTHING = "everything"
    RUN = "adpkv run"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `hint` says how to get it where it is not fine."""

    name: str
    fine: bool
    found: str
    need: Need
    hint: str = ""


def asked(
    command: Sequence[str], more_environment: Mapping[str, str] = MappingProxyType({})
) -> tuple[str, str]:
    """Run a command within a time limit; returns (what it printed, what was wrong). The second is
    empty if the command succeeded."""
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_TIMEOUT_S,
            env={**os.environ, **more_environment},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    said = ended.stdout.strip()
    if ended.returncode == 0:
        return said, ""
    complaint = ended.stderr.strip().splitlines() or [f"ended with {ended.returncode}"]
    return said, complaint[-1]
