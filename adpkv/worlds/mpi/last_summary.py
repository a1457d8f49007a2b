"""The summary of a job that left no rank to write one: its parent writes it from the files on disk.

All ranks were killed at once, or the launcher gave up before they could agree. Finished requests
are in `requests.jsonl`; what the ranks had counted is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from adpkv.exit_codes import OUTCOMES, ExitCode
from adpkv.output.losses import with_losses
from adpkv.output.requests import read_tally
from adpkv.output.summary import BrokenOff, build_summary

if TYPE_CHECKING:
    from adpkv.config import Experiment
    from adpkv.output import RunFolder

__all__ = ["sum_up_for_failed_ranks"]


def sum_up_for_failed_ranks(
    experiment: Experiment,
    folder: RunFolder,
    code: int,
    why: str,
    wall_s: float,
    first: Sequence[int] = (),
) -> Mapping[str, object] | None:
    """Write the summary of a job that ended with `code`, and return it. None if one of its ranks
    has written one, or if it cannot be written. `first`: the ranks by whose failure it ended, where
    that is known; otherwise all have failed."""
    code = code if code in OUTCOMES else ExitCode.RANK_LOST
    lost = first or range(experiment.topology.ranks) if code == ExitCode.RANK_LOST else ()
    summary = with_losses(
        build_summary(
            "mpi",
            experiment,
            [],
            read_tally(folder.requests, experiment.slo),
            wall_s=wall_s,
            simulated_s=None,
            lost=lost,
            broken_off=BrokenOff(code, why),
        ),
        (),
    )
    with suppress(OSError):
        if folder.write_first_summary(summary):
            return summary
    return None
