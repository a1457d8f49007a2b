"""What `adpkv simulate` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from adpkv.cli.remarks import look_here, remark, say

__all__ = ["SimulateCall", "simulating"]


class SimulateCall(NamedTuple):
    """The arguments of `adpkv simulate`."""

    file: Path
    overrides: Sequence[str] = ()
    out: Path | None = None
    seed: int | None = None
    jump: bool = True
    quiet: bool = False
    as_json: bool = False


def simulating(call: SimulateCall, **more: Any) -> int:
    """Simulate the experiment, and show what came of it; the exit code. `more` is for who measures:
    arguments of `worlds.virtual.run.simulate`."""
    from adpkv.config import load
    from adpkv.errors import StuckError
    from adpkv.output.screen import Screen

    overrides = call.overrides
    if call.seed is not None:
        overrides = [*overrides, f"seed={call.seed}"]
    experiment = load(call.file, overrides)
    look_here(experiment)
    if not call.quiet:
        remark(experiment)
    from adpkv.field_policies import assembly
    from adpkv.worlds.virtual.run import simulate as simulate_experiment

    if experiment.observe.http is not None and not call.quiet:
        say("observe.http is left out: nobody asks after virtual time")
    screen = Screen(experiment, quiet=call.quiet, as_json=call.as_json)
    try:
        result = simulate_experiment(
            experiment,
            out=call.out,
            jump=call.jump,
            on_progress=screen.progress.update,
            assemble=assembly(experiment),
            on_broken_off=screen.broken_off,
            **more,
        )
    except StuckError as error:
        screen.stuck(error)
        raise
    finally:
        screen.progress.close()
    screen.close(result.summary, result.folder)
    return result.exit_code
