"""Makes one run of a sweep in this process, or on real ranks as children of it; any ending of it is
a row, and no error."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from adpkv.config import Experiment
from adpkv.config.loading import load_data
from adpkv.errors import AdpkvError
from adpkv.exit_codes import OUTCOMES, ExitCode
from adpkv.output.folder_files import read_json
from adpkv.output.losses import with_losses
from adpkv.sweeps.row import RunRow, Task

__all__ = ["perform", "refused"]


def perform(task: Task) -> RunRow:
    """Make the run. Whatever goes wrong in it is said in the row."""
    began_s = time.perf_counter()
    code: int = ExitCode.COMPLETED
    error, summary = "", None
    run = _real if task.world == "mpi" else _kept if task.out else _in_memory
    try:
        experiment = load_data(
            task.data, "experiment", {**task.settings, "sweep": None, "seed": task.seed}
        )
        summary, error = run(experiment, task)
        code = summary["exit_code"]
        error = error or _why(summary)
    except AdpkvError as problem:
        code, error = problem.exit_code, str(problem)
        summary = _left_in(task.out)
    except Exception as problem:
        code, error = ExitCode.INTERNAL_ERROR, f"{type(problem).__name__}: {problem}"
        summary = _left_in(task.out)
    return RunRow(
        point=task.point,
        seed=task.seed,
        settings=task.settings,
        outcome=OUTCOMES.get(code, "internal_error"),
        exit_code=int(code),
        error=error,
        wall_s=time.perf_counter() - began_s,
        summary=summary,
        folder=task.out if summary is not None else None,
    )


Ended = tuple[dict[str, Any], str]
"""The summary, and why the run was broken off; empty if it was not."""


def _in_memory(experiment: Experiment, task: Task) -> Ended:
    from adpkv.field_policies import assembly
    from adpkv.worlds.virtual.in_memory import simulate_in_memory
    from adpkv.worlds.virtual.signals import rare_collections

    # Nobody reads events that no folder keeps, and no figure comes from them.
    silent = experiment.observe.model_copy(update={"events": False})
    quiet = experiment.model_copy(update={"observe": silent})
    with rare_collections():
        found = simulate_in_memory(quiet, assemble=assembly(quiet))
    return with_losses(found.summary, ()), _said(found.error)


def _kept(experiment: Experiment, task: Task) -> Ended:
    from adpkv.errors import RankLostError, StuckError
    from adpkv.field_policies import assembly
    from adpkv.worlds.virtual.run import simulate
    from adpkv.worlds.virtual.signals import rare_collections

    out = Path(str(task.out))
    attended: Callable[..., Any] = lambda job: nullcontext()  # noqa: E731
    try:
        with rare_collections():
            ended = simulate(experiment, out=out, assemble=assembly(experiment), around=attended)
    except (StuckError, RankLostError) as error:
        return read_json(out / "summary.json"), _said(error)
    return ended.summary, ""


def _real(experiment: Experiment, task: Task) -> Ended:
    from adpkv.results import load_run
    from adpkv.worlds.mpi.launcher.calling import call_run

    out = Path(str(task.out))
    call_run(experiment, out, task.limit_s)
    result = load_run(out)
    summary = result.to_dict()
    error = str(result.report) if result.report is not None else ""
    if not error and result.summary.broken_off is not None:
        error = result.summary.broken_off.why
    return summary, error


def _left_in(out: str | None) -> dict[str, Any] | None:
    """The summary that a run has left, which was broken off."""
    try:
        found: dict[str, Any] = read_json(Path(str(out)) / "summary.json")
    except (OSError, ValueError):
        return None
    return found


def _why(summary: dict[str, Any]) -> str:
    """What went wrong in a run that nothing broke off, such as a rank that failed; empty if it
    completed."""
    from adpkv.output.closing import oddities

    return "" if summary["exit_code"] == ExitCode.COMPLETED else "; ".join(oddities(summary))


def _said(error: Exception | None) -> str:
    return "" if error is None else str(error)


def refused(task: Task, outcome: str, code: int | None, error: str, wall_s: float) -> RunRow:
    """The row of a run whose process did not tell of it."""
    return RunRow(
        point=task.point,
        seed=task.seed,
        settings=task.settings,
        outcome=outcome,
        exit_code=code,
        error=error,
        wall_s=wall_s,
    )
