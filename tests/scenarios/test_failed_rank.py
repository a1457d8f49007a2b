"""Scenario 15: a rank fails, wherever it is; the others end the job together, and say whose fault
it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adpkv.errors import DeadlockError, HostLostError
from adpkv.executor.collectives import Gone
from adpkv.executor.phases import Phases
from adpkv.field_policies import assembly
from adpkv.worlds.virtual.paused_groups import NOTICE_NS
from adpkv.worlds.virtual.run import Simulation
from tests.scenarios.story import MS, Script, arrival, setting
from tests.worlds.virtual.running import Ran, run

FROM = 30
PHASES = ("intake", "sync", "flush", "step", "wait")


def dies(victim: int | tuple[int, ...], phase: str) -> Any:
    """Assembles ranks of which some are killed as they come to a phase, from some iteration on."""
    victims = (victim,) if isinstance(victim, int) else victim

    class Dying(Phases):
        async def _die(self) -> None:
            rank = self.rank
            if rank.rank in victims and rank.iteration >= FROM:
                await Gone(self._group, "killed", phase, rank.iteration, rank.plan)

        def is_quiet(self) -> bool:
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
    return f"rank {victim} ({'context-0' if victim < 4 else 'generation-1'}) has failed"


def tell(
    victim: int | tuple[int, ...],
    phase: str,
    attempt: int = 4,
    prepare: Callable[[Simulation], None] | None = None,
    **sections: Any,
) -> Ran:
    data = setting("failed", 4, attempt, executor={"drain_timeout": "200ms"}, **sections)
    arrivals = [arrival(30 * i, 32, 4 + i % 9, wanted=i % min(4, attempt)) for i in range(99)]
    return run(
        data,
        jump=False,
        workload=Script(arrivals),
        prepare=prepare,
        assemble=dies(victim, phase),
        most_events=99_999,
    )


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("victim", [1, 4, 6])
def test_15_failed_rank(victim: int, phase: str) -> None:
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
    failed_ns = survived[0][0]
    assert max(record.ended_ns for record in ran.records) < failed_ns + 1_000 * MS
    assert [e[4] for e in ran.events if e[2] == "rank_lost"] == [
        {"lost": victim, "leader": 5 if victim == 4 else kind.start}
    ]
    assert sorted(report.rank for report in ran.reports) == [r for r in range(8) if r != victim]
    assert {report.exit_code for report in ran.reports} == {5}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("victim", [1, 3, 4, 6])
def test_15_a_failed_replica(victim: int, phase: str) -> None:
    """Nobody has its shard: what is open fails, told by the first of those who are left."""
    topology = {"context": {"ranks": 4}, "generation": {"ranks": 4}, "attention": "replicated"}
    ran = tell(victim, phase, topology=topology)
    assert ran.exit_code == 5
    assert ran.summary["violations"] == []
    assert len(ran.records) == ran.job.coordinator.submitted < 99
    assert all(record.responses <= 1 for record in ran.records)
    answers = [e for e in ran.events if e[2] == "responded"]
    leaders = {0, 4} | ({5} if victim == 4 else set())
    assert {e[1] for e in answers} <= leaders


@pytest.mark.parametrize("victim", [1, 5])
def test_15_its_peers_hear_of_it_by_the_link(victim: int) -> None:
    """And have proof long before they would have given up."""
    slow = {"link": {"latency": "20us", "bandwidth": "64KiB"}}
    ran = tell(victim, "sync", transceiver=slow)
    lost = [e for e in ran.events if e[4].get("cause") == "peer_lost"]
    noticed_ns = min(e[0] for e in ran.events if e[2] == "survived")
    assert lost
    assert {e[1] for e in lost} <= set(range(4, 8) if victim < 4 else range(4))
    assert {e[2] for e in lost} == {"quarantined"}
    for at_ns, rank, _, request, _ in lost:
        assert at_ns < noticed_ns + 20 * MS
        [proof] = [e for e in ran.events if e[1:4] == (rank, "released", request)]
        assert proof[0] < at_ns + 20 * MS
    assert ran.summary["violations"] == []
    assert ran.summary["transfers"]["quarantined_now"] == 0


def all_are_told(ran: Ran, *failed: int) -> None:
    """The others end in order, and every client has one answer."""
    assert ran.exit_code == 5
    assert ran.summary["lost"] == list(failed)
    assert ran.summary["violations"] == []
    assert len(ran.records) == ran.job.coordinator.submitted < 99
    assert len({record.request_id for record in ran.records}) == len(ran.records)
    assert all(record.responses <= 1 for record in ran.records)
    assert {report.exit_code for report in ran.reports} == {5}


@pytest.mark.parametrize("phase", PHASES)
def test_15_the_last_rank_of_an_instance(phase: str) -> None:
    """Its instance is gone: the coordinator hears it from its host."""
    ran = tell(4, phase, attempt=1)
    all_are_told(ran, 4)
    assert [e[4] for e in ran.events if e[2] == "rank_lost"] == [{"lost": 4, "leader": -1}]
    said = "rank 4 (generation-1) has failed, the last one there"
    assert said in {record.detail for record in ran.records}


@pytest.mark.parametrize(
    "victims", [(1, 2), (4, 5), (5, 7), (2, 6), (1, 2, 3), (3, 4, 5, 6), (4, 5, 6, 7)]
)
@pytest.mark.parametrize("phase", ["sync", "step"])
def test_15_several_that_fail_at_once(phase: str, victims: tuple[int, ...]) -> None:
    """Of one group or of two, leaders too, and all of an instance."""
    ran = tell(victims, phase)
    all_are_told(ran, *victims)
    assert {e[4]["lost"] for e in ran.events if e[2] == "rank_lost"} >= set(victims[-1:])


@pytest.mark.parametrize("phase", PHASES)
def test_15_rank_0_takes_the_coordinator_with_it(phase: str) -> None:
    """As for real: the job ends, and nobody is left to answer what is open."""
    jobs: list[Simulation] = []
    with pytest.raises(HostLostError, match="with it the coordinator: the job ends") as caught:
        tell(0, phase, prepare=jobs.append)
    assert (caught.value.rank, caught.value.exit_code) == (0, 5)
    [job] = jobs
    failed_ns = job.world.queue.now - NOTICE_NS
    assert len(job.records) == job.coordinator.done < job.coordinator.submitted
    assert max(record.ended_ns for record in job.records) <= failed_ns


def test_15_nobody_watches() -> None:
    with pytest.raises(DeadlockError) as caught:
        tell(6, "sync", policy={"watch": "nobody"})
    told = str(caught.value)
    assert "rank 6 has failed" in told
    for rank in (4, 5, 7):
        assert f"rank {rank} is in tp_allgather at sync, iteration 30" in told
