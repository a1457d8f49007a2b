"""A rank that is left alone is at rest: nothing that happens to it can be forgotten.

Whether a stretch is quiet follows from where things happen (before `_resolve`, or in a step that
finished something), not from a flag that each of them must set. Each of the two is left out here in
turn, and things are done elsewhere: the look at everything finds it.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.worlds.virtual.experiments import experiment, mortal, replicated, surviving
from tests.worlds.virtual.rest import RESTING, RestingPhases, resting
from tests.worlds.virtual.running import run

SMALL = [
    *(experiment(seed) for seed in (0, 60, 80, 160, 260)),
    *(surviving(experiment(seed)) for seed in (701,)),
    *(mortal(replicated(seed)) for seed in (403, 404, 407)),
    # A replica that leads from now on answers from now on, and has nothing else to do.
    mortal(replicated(407), "rank failures"),
]
"""The look at everything takes its time."""


@pytest.mark.parametrize("data", SMALL, ids=lambda data: f"{data['name']}-{data['seed']}")
def test_who_says_nothing_has_nothing_to_say(data: dict[str, Any]) -> None:
    run(data, jump=False, assemble=RESTING)


class ForgetsToResolve(RestingPhases):
    def _resolve(self, now_ns: int) -> None:
        moved = self._moved
        super()._resolve(now_ns)
        self._moved = moved


class ForgetsSteps(RestingPhases):
    async def step(self) -> None:
        moved = self._moved
        await super().step()
        self._moved = moved


class CancelsByTheWay(RestingPhases):
    """Something happens in a phase in which nothing may."""

    async def flush(self) -> None:
        await super().flush()
        for request_id in list(self.rank.serving.requests)[:1]:
            self.rank.serving.cancel(request_id, self.rank.ports.clock())


class ReservesByTheWay(RestingPhases):
    async def flush(self) -> None:
        await super().flush()
        self.rank.serving.pool.acquire(1)


class AdmitsByTheWay(RestingPhases):
    async def intake(self) -> None:
        await super().intake()
        self.rank.serving.open_requests += 1


@pytest.mark.parametrize(
    "phases",
    [
        ForgetsToResolve,
        ForgetsSteps,
        CancelsByTheWay,
        ReservesByTheWay,
        AdmitsByTheWay,
    ],
)
def test_what_is_forgotten_is_found(phases: type[RestingPhases]) -> None:
    with pytest.raises(AssertionError):
        _run_all(phases)


def _run_all(phases: type[RestingPhases]) -> None:
    for data in SMALL:
        run(data, jump=False, assemble=resting(phases))
