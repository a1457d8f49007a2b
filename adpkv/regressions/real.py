"""A regression on real ranks: `adpkv run` in a process of its own, with a time limit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from adpkv.children import run_bounded
from adpkv.errors import UsageError
from adpkv.exit_codes import ExitCode
from adpkv.python_module import python_module
from adpkv.regressions.seen import BrokeOff, Seen, endless, seen_in

__all__ = ["BOUND_S", "run_real"]

BOUND_S: Final = 30.0
"""A deadlock must be diagnosed by then."""

ERRORS: Final[Mapping[int, str]] = {
    ExitCode.DEADLOCK: "deadlock",
    ExitCode.RANK_LOST: "rank_lost",
    ExitCode.INTERNAL_ERROR: "rank_failed",
}
SUMMED_UP: Final = frozenset(ExitCode) - {
    ExitCode.USAGE,
    ExitCode.DEADLOCK,
    ExitCode.INTERNAL_ERROR,
    ExitCode.OUTPUT_LOST,
}
"""Exit codes with which a run can come to its end."""

_RANK: Final = re.compile(r"^adpkv: rank (\d+)", re.MULTILINE)


def run_real(
    file: Path, out: Path, overrides: Sequence[str] = (), bound_s: float = BOUND_S
) -> Seen:
    """Run the file into the folder `out`; any end of it is a result.

    Raises:
        UsageError: it cannot be run at all.
    """
    argv = [*python_module("adpkv"), "run", str(file), "--quiet", "--out", str(out)]
    for override in overrides:
        argv += ["--set", override]
    code, _, said = run_bounded(argv, bound_s, keep_output=False)
    if code is None:
        return seen_in(out, endless(bound_s))
    if code == UsageError.exit_code:
        raise UsageError(said.removeprefix("adpkv: ").strip())
    if code in SUMMED_UP and _came_to_its_end(out / "summary.json"):
        return seen_in(out, None)
    ranks = tuple(int(rank) for rank in dict.fromkeys(_RANK.findall(said)))
    return seen_in(out, BrokeOff(ERRORS.get(code, "killed"), code, said, ranks))


def _came_to_its_end(summary: Path) -> bool:
    try:
        return json.loads(summary.read_bytes())["broken_off"] is None
    except FileNotFoundError:
        return False
