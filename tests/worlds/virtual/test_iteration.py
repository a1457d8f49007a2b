"""Iterations that are made without the programs are those that the programs make."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest

from adpkv.core.plan import Plan
from adpkv.core.rank_status import RankStatus
from adpkv.core.report import RankReport
from adpkv.errors import AdpkvError, DeadlockError
from adpkv.executor.collectives import Pause
from adpkv.executor.phases import Phases
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.virtual.group import VirtualGroup
from adpkv.worlds.virtual.iteration import Iteration, known_phases
from adpkv.worlds.virtual.run import Simulation
from tests.worlds.virtual.experiments import experiment, replicated, reusing, staged
from tests.worlds.virtual.running import EagerPhases, Ran, differences, run
from tests.worlds.virtual.seeds import batch, batches


class AwaitingPhases(Phases):
    """Nothing else than what they always are; but who looks from outside cannot know."""

    async def sync(self) -> Plan:
        return await super().sync()


class PausesAsItLeaves(Phases):
    """Is in no hurry at the end."""

    async def leave(self) -> tuple[RankReport, ...]:
        rank, until_ns = self.rank, self._clock() + 1_000_000
        await Pause(
            self._group,
            "pause",
            "leave",
            rank.iteration,
            rank.plan,
            until_ns,
            lambda: self._clock() >= until_ns,
        )
        return await super().leave()


def _by_programs(data: dict[str, Any], *, jump: bool) -> Ran:
    return run(data, jump=jump, assemble=partial(build_rank, phases=AwaitingPhases))


@pytest.mark.parametrize("first", [*batches(0, 320), *batches(400, 480)])
def test_random_experiments(first: int) -> None:
    wrong = {}
    for seed in batch(first):
        for number, data in enumerate(
            (
                experiment(seed),
                replicated(seed),
                staged(experiment(seed)),
                reusing(replicated(seed)),
            )
        ):
            jump = (seed + number) % 4 != 0
            one, other = run(data, jump=jump), _by_programs(data, jump=jump)
            found = differences(one, other)
            for key in ("iterations", "collectives"):
                if one.summary[key] != other.summary[key]:
                    found.append(f"{key}: {one.summary[key]} against {other.summary[key]}")
            if found:
                wrong[seed, number] = found
    assert not wrong


def test_they_are_made_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison above compares two ways: the one is taken where it can be, and not else."""
    made: Counter[str] = Counter()
    make = Iteration.make

    def counted(self: Iteration, *told: Any) -> bool:
        made["iterations"] += 1
        return make(self, *told)

    monkeypatch.setattr(Iteration, "make", counted)
    ran = run(experiment(1), jump=False)
    first = len(ran.job.topology.instances)  # they begin, and come to their first step or wait
    iterations = {r.rank: r.iterations for r in ran.reports}
    leaders = [one.members[0] for one in ran.job.topology.instances]
    assert made["iterations"] == sum(iterations[rank] for rank in leaders) - first
    made.clear()
    _by_programs(experiment(1), jump=False)
    assert not made


def test_whose_phases_are_known() -> None:
    job = Simulation(run(experiment(1)).job.experiment)
    program = job.programs[0]
    assert known_phases(program) is program.phases
    eager = run(experiment(1), assemble=EAGER).job.programs[0]
    assert known_phases(eager) is not None
    awaiting = run(experiment(1), assemble=partial(build_rank, phases=AwaitingPhases)).job
    assert known_phases(awaiting.programs[0]) is None, "a class of its own may await anything"
    leaving = run(experiment(1), assemble=partial(build_rank, phases=PausesAsItLeaves)).job
    assert known_phases(leaving.programs[0]) is None, "also as it leaves"
    program.run = program.run
    assert known_phases(program) is None, "so may a program"
    del program.run
    eager.phases.flush = lambda: None  # type: ignore[method-assign, assignment]
    assert known_phases(eager) is None, "so may an object"
    assert known_phases(object()) is None, "a fault of the process is around its program"


def test_who_is_known_by_its_phases_does_not_fail() -> None:
    job = Simulation(run(experiment(1)).job.experiment)
    instance = job.topology.instances[0]
    programs = [job.programs[rank] for rank in instance.members]
    started = [program.run() for program in programs]
    group = VirtualGroup(instance, started, [known_phases(program) for program in programs])
    with pytest.raises(AssertionError):
        group.shrink(instance.first)
    for one in started:
        one.close()


EAGER = partial(build_rank, phases=EagerPhases)


class Forgetful(Phases):
    """Says one load as it falls asleep, and brings another when it is woken."""

    def fresh_status(self) -> RankStatus:
        status = super().fresh_status()
        if self.rank.leader is None:
            status = RankStatus(work=status.work, tokens=self.rank.iteration)
        return status


SMALL: dict[str, Any] = {
    "name": "small",
    "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
    "workload": {
        "kind": "closed_loop",
        "users": 2,
        "requests": 4,
        "prompt_tokens": {"min": 10, "max": 100},
        "output_tokens": {"min": 2, "max": 5},
    },
}


def test_who_brings_something_else_than_it_said_is_caught() -> None:
    with pytest.raises(
        AdpkvError, match=r"rank [13] is in tp_allgather at sync.* but had announced"
    ):
        run(SMALL, assemble=partial(build_rank, phases=Forgetful), most_events=200_000)


def _deaf(job: Simulation) -> None:
    """Nothing that is sent arrives: so nobody can go on once the first request has come."""
    job.world.post.carry = lambda *told: None  # type: ignore[method-assign]


@pytest.mark.parametrize("phases", [Phases, AwaitingPhases])
def test_where_ranks_are_when_nothing_goes_on(phases: type[Phases]) -> None:
    """The same is told of them, although the programs stay where they were long ago."""
    with pytest.raises(DeadlockError) as caught:
        run(SMALL, prepare=_deaf, assemble=partial(build_rank, phases=phases))
    assert caught.value.evidence is not None
    states = caught.value.evidence.rank_states
    assert [state.at.kind for state in states if state.at is not None] == ["wait"] * 4
    assert {state.stack[-1].rpartition(" ")[2] for state in states} == {"wait"}
