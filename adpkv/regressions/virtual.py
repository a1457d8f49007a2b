"""A regression in virtual time, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from adpkv.config import Experiment
from adpkv.errors import AdpkvError, RankLostError, RankProgramError, StuckError, UsageError
from adpkv.executor.loop import RankProgram
from adpkv.executor.messages import Pulse
from adpkv.regressions.seen import BrokeOff, Seen, endless, seen_in
from adpkv.worlds.virtual.run import simulate

__all__ = ["run_virtual"]

Assemble = Callable[..., RankProgram]

BOUND_S: Final = 30.0
"""Of wall time: a regression takes a fraction of a second, or never ends."""


class _Endless(Exception):  # noqa: N818 - it ends a run from outside
    """The bound is over."""


def run_virtual(
    experiment: Experiment, out: Path, assemble: Assemble, bound_s: float = BOUND_S
) -> Seen:
    """Simulate it into the folder `out`; any end of it is a result.

    Raises:
        UsageError: it cannot be run at all.
    """
    until_s = time.monotonic() + bound_s

    def patience(done: int, total: int, pulses: Mapping[int, Pulse], virtual_s: float) -> None:
        if time.monotonic() > until_s:
            raise _Endless

    try:
        simulate(experiment, out=out, on_progress=patience, assemble=assemble)
    except UsageError:
        raise
    except StuckError as error:
        return seen_in(out, BrokeOff("deadlock", error.exit_code, str(error)))
    except RankProgramError as error:
        code, ranks = error.exit_code, (error.place.rank,)
        return seen_in(out, BrokeOff("rank_failed", code, str(error), ranks))
    except RankLostError as error:
        return seen_in(out, BrokeOff("rank_lost", error.exit_code, str(error), (error.rank,)))
    except _Endless:
        return seen_in(out, endless(bound_s))
    except Exception as error:  # on real ranks, too, whatever escapes from one ends the job
        said = f"{type(error).__name__}: {error}"
        return seen_in(out, BrokeOff("rank_failed", AdpkvError.exit_code, said))
    return seen_in(out, None)
