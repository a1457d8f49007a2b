"""What the field did before the contract, as policies that replace one rule or one phase.

`assembly(experiment)` makes the rank programs that the experiment's `policy:` asks for. The
policies themselves (`catalogue.POLICIES`) are imported when one is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adpkv.config import Experiment
    from adpkv.executor.loop import RankProgram

__all__ = ["assembly"]


def assembly(experiment: Experiment) -> Callable[..., RankProgram]:
    """What makes a rank's program under the experiment's policies: `build_rank` itself if there are
    none."""
    from adpkv.worlds.assemble import build_rank

    chosen = experiment.policy.historical()
    if not chosen:
        return build_rank
    from adpkv.field_policies.catalogue import combination

    return combination(chosen) or build_rank
