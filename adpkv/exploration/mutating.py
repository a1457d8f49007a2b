"""A case that differs a little from one that was interesting."""

from __future__ import annotations

from dataclasses import replace

from adpkv.config.workload import ScriptConfig, ScriptedConfig
from adpkv.core.ids import NEVER
from adpkv.exploration.cases import Case
from adpkv.exploration.dice import Dice
from adpkv.exploration.drawing import draw, placed
from adpkv.exploration.schedules import Spread
from adpkv.exploration.variation import Variation

__all__ = ["mutated"]


def mutated(where: Variation, case: Case, dice: Dice, seed: int) -> Case:
    """The case with another schedule, other times, or faults of another seed."""
    how = dice.below(4)
    if how == 0:
        spread = case.schedule if isinstance(case.schedule, Spread) else Spread(seed, 8, 8, 8)
        return case.under(replace(spread, seed=seed))
    workload = case.experiment.workload
    assert isinstance(workload, ScriptConfig)
    requests, faults = list(workload.requests), case.experiment.faults
    own = len(where.base.faults)
    drawn, healed_ns = list(faults[own:]), case.healed_ns
    if how == 1:
        requests = _moved(requests, dice, case.healed_ns)
    elif how == 2 and drawn:
        drawn.pop(dice.below(len(drawn)))
    else:
        other = draw(where, seed)
        drawn += [
            fault.model_copy(update={"requests": None})
            for fault in other.experiment.faults[own : own + 2]
        ]
        healed_ns = max(healed_ns, other.healed_ns)
        # Where nobody knows when the faults are over, requests that came afterwards stay.
        if case.healed_ns < healed_ns < NEVER:
            shift = healed_ns - case.healed_ns
            requests = [
                one.model_copy(update={"at_ns": one.at_ns + shift})
                if one.at_ns >= case.healed_ns
                else one
                for one in requests
            ]
    experiment = placed(where.base, case.experiment.seed, requests, [*faults[:own], *drawn])
    return Case(experiment, case.schedule, healed_ns)


def _moved(requests: list[ScriptedConfig], dice: Dice, healed_ns: int) -> list[ScriptedConfig]:
    """One of those that come before all is healed comes at another time, or is cancelled then."""
    early = [number for number, one in enumerate(requests) if one.at_ns < healed_ns]
    if not early:
        return requests
    number = dice.choice(early)
    one = requests[number]
    if one.cancel_ns is not None and dice.chance(1, 2):
        change = {"cancel_ns": max(0, one.cancel_ns + dice.between(-10_000_000, 10_000_000))}
    else:
        change = {
            "at_ns": min(max(0, one.at_ns + dice.between(-10_000_000, 10_000_000)), healed_ns - 1)
        }
    requests[number] = one.model_copy(update=change)
    return sorted(requests, key=lambda each: each.at_ns)
