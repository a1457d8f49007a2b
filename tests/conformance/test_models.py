"""The cost model, by the bodies that every model must pass."""

from __future__ import annotations

from fractions import Fraction

import pytest

from adpkv.core.step_cost import Costs
from adpkv.model.cost import CostModel
from adpkv.testing.model import BODIES

COSTS = {
    "small": Costs(15_000_000, 20_000, 3, 100_000, 2),
    "nothing but the step": Costs(5_000_000, 0, 0, 0, 0),
    # Their products are far beyond what a float holds exactly.
    "large": Costs(10**15 + 7, 10**9 + 1, 10**9 + 3, 10**12 + 9, 10**9 + 11),
    "free": Costs(0, 0, 0, 0, 0),
    # Of different denominators, none of which divides another.
    "fractions": Costs(
        5_000_000, Fraction(25, 2), Fraction(1, 5), Fraction(2001, 8), Fraction(7, 3)
    ),
}


class Rig:
    def __init__(self, costs: Costs, scale: float) -> None:
        self.slept: list[float] = []
        self.scale = scale
        self.model = CostModel(costs, scale, self.slept.append)


@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize("body", BODIES)
def test_the_cost_model_conforms(body: str, costs: str, scale: float) -> None:
    BODIES[body](Rig(COSTS[costs], scale))
