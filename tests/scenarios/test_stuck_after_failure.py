"""A job that gets stuck after it has outlived a rank: the failed one is told as failed, and is not
taken for the one that the others wait for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from adpkv.core.ids import NEVER
from adpkv.diagnosis.classify import Kind, classify
from adpkv.diagnosis.evidence import Evidence, State
from adpkv.errors import StuckError
from adpkv.executor.collectives import Collective, Gone, Pause
from adpkv.executor.phases import Phases
from adpkv.field_policies import assembly
from tests.scenarios.story import Script, arrival, setting
from tests.worlds.virtual.running import run

FROM, ODD = 30, 6
"""A rank fails from this iteration on; this other one then does what the others do not."""


async def pauses(phases: Phases) -> None:
    rank = phases.rank
    await Pause(1, "poll", "status", rank.iteration, rank.plan, NEVER, lambda: False)


async def gathers(phases: Phases) -> None:
    rank = phases.rank
    await Collective(1, "tp_gather", "respond", rank.iteration, rank.plan, None)


Case = Callable[[Phases], Awaitable[None]]
CASES: dict[str, tuple[Case, bool, Kind, tuple[int, ...], str]] = {
    # What is done, by all who are left or by one; the kind; who is named, and how.
    "pauses": (pauses, False, Kind.MISSING_PARTICIPANT, (ODD,), "it waits alone in poll"),
    "gathers": (gathers, False, Kind.WRONG_OPERATION, (ODD,), "rank 6 is in tp_gather"),
    "wait": (pauses, True, Kind.LOST_WAKE_UP, (4, 6, 7), "wait for input in poll"),
}


def stuck(case: str, phase: str, victim: int) -> Evidence:
    odd, all_do, *_ = CASES[case]

    class Stuck(Phases):
        async def sync(self) -> Any:
            rank = self.rank
            names_failed_ranks = rank.instance.index == 1 and len(rank.members) < 4
            if names_failed_ranks and (all_do or rank.rank == ODD):
                await odd(self)
            return await super().sync()

        def is_quiet(self) -> bool:
            return False

    async def dying(self: Any) -> Any:
        rank = self.rank
        if rank.rank == victim and rank.iteration >= FROM:
            await Gone(self._group, "killed", phase, rank.iteration, rank.plan)
        return await former(self)

    former = getattr(Stuck, phase)
    setattr(Stuck, phase, dying)

    def assemble(*args: Any, **ports: Any) -> Any:
        return assembly(args[0])(*args, phases=Stuck, **ports)

    data = setting("stuck", 4, 4, executor={"drain_timeout": "200ms"})
    script = Script([arrival(30 * i, 32, 4 + i % 9, wanted=i % 4) for i in range(99)])
    with pytest.raises(StuckError) as caught:
        run(data, jump=False, workload=script, assemble=assemble, most_events=99_999)
    assert isinstance(caught.value.evidence, Evidence)
    return caught.value.evidence


@pytest.mark.parametrize("phase", ["intake", "sync", "step", "wait"])
@pytest.mark.parametrize("case", CASES)
def test_15_the_failed_are_not_the_culprits(case: str, phase: str) -> None:
    evidence = stuck(case, phase, victim=5)
    _, _, kind, outliers, told = CASES[case]
    result = classify(evidence)
    assert (result.kind, result.outliers) == (kind, outliers), result.sentence
    assert told in result.sentence
    assert "rank 5" not in result.sentence
    states = {rank_state.rank: rank_state.state for rank_state in evidence.rank_states}
    assert [rank for rank in states if states[rank] is State.FAILED] == [5]
