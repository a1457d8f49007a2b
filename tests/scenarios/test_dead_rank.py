"""Scenario 15: a rank dies, wherever it is; the others end the job together, and say whose fault
it was."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv.errors import DeadlockError, RankLostError
from adpkv.executor.meetings import Gone
from adpkv.executor.phases import Phases
from adpkv.history import assembly
from tests.scenarios.story import MS, Script, arrival, setting
from tests.worlds.virtual.running import Ran, run

FROM = 30
PHASES = ("intake", "sync", "flush", "step", "wait")


def dies(victim: int, phase: str) -> Any:
    """Assembles ranks of which one is killed as it comes to a phase, from some iteration on."""

    class Dying(Phases):
        async def _die(self) -> None:
            rank = self.rank
            if rank.rank == victim and rank.iteration >= FROM:
                await Gone(self._group, "killed", phase, rank.iteration, rank.plan)

        def _is_quiet(self) -> bool:
            return False

    def before(name: str) -> Any:
        async def method(self: Any) -> Any:
            await self._die()
            return await getattr(Phases, name)(self)

        return method

    setattr(Dying, phase, before(phase))

    def assemble(*args: Any, **ports: Any) -> Any:
        return assembly(args[0])(*args, phases=Dying, **ports)

    return assemble


def detail_of(victim: int) -> str:
    return f"rank {victim} ({'context-0' if victim < 4 else 'generation-1'}) was lost"


def tell(victim: int, phase: str, generation: int = 4, **sections: Any) -> Ran:
    data = setting("dead", 4, generation, executor={"drain_timeout": "200ms"}, **sections)
    arrivals = [arrival(30 * i, 32, 4 + i % 9, wanted=i % min(4, generation)) for i in range(99)]
    return run(
        data,
        jump=False,
        workload=Script(arrivals),
        assemble=dies(victim, phase),
        most_events=99_999,
    )


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("victim", [1, 4, 6])
def test_15_dead_rank(victim: int, phase: str) -> None:
    """A follower and leaders, on either side."""
    ran = tell(victim, phase)
    assert ran.exit_code == 5
    assert ran.summary["outcome"] == "rank_lost"
    assert ran.summary["violations"] == []
    assert len(ran.records) == ran.job.coordinator.submitted < 99
    assert all(record.responses <= 1 for record in ran.records)
    said = {record.detail for record in ran.records if record.outcome == "failed"}
    assert said <= {"the instance is stopping", detail_of(victim)}
    assert said or phase == "wait", "clients are told"
    survived = [e for e in ran.events if e[2] == "survived"]
    kind = range(4) if victim < 4 else range(4, 8)
    assert sorted(e[1] for e in survived) == [rank for rank in kind if rank != victim]
    assert {e[4]["lost"] for e in survived} == {victim}
    died_ns = survived[0][0]
    assert max(record.ended_ns for record in ran.records) < died_ns + 1_000 * MS
    assert [e[4] for e in ran.events if e[2] == "rank_lost"] == [
        {"lost": victim, "leader": 5 if victim == 4 else kind.start}
    ]
    assert sorted(report.rank for report in ran.reports) == [r for r in range(8) if r != victim]
    assert {report.exit_code for report in ran.reports} == {5}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("victim", [0, 3, 4, 6])
def test_15_a_dead_replica(victim: int, phase: str) -> None:
    """Nobody has its shard: what is open fails, told by the first of those who are left."""
    topology = {"context": {"ranks": 4}, "generation": {"ranks": 4}, "attention": "replicated"}
    ran = tell(victim, phase, topology=topology)
    assert ran.exit_code == 5
    assert ran.summary["violations"] == []
    assert len(ran.records) == ran.job.coordinator.submitted < 99
    assert all(record.responses <= 1 for record in ran.records)
    answers = [e for e in ran.events if e[2] == "responded"]
    leaders = {0, 4} | ({victim + 1} if victim in (0, 4) else set())
    assert {e[1] for e in answers} <= leaders


def test_the_last_rank_of_an_instance_leaves_nobody_to_tell() -> None:
    with pytest.raises(RankLostError, match="rank 4 is dead"):
        tell(4, "sync", generation=1)


def test_15_nobody_watches() -> None:
    with pytest.raises(DeadlockError) as caught:
        tell(6, "sync", policy={"watch": "nobody"})
    told = str(caught.value)
    assert "rank 6 is dead" in told
    for rank in (4, 5, 7):
        assert f"rank {rank} is in tp_allgather at sync, iteration 30" in told
