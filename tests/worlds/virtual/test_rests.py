"""Without jumping, a rank that rests makes no iteration; all others make each."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from adpkv.bench.scale import _experiment
from adpkv.core.ids import NEVER
from adpkv.errors import AdpkvError
from adpkv.executor.phases import Phases
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.virtual.run import Simulation
from tests.worlds.virtual.experiments import experiment
from tests.worlds.virtual.running import Ran, differences, run

RANKS, STEPS = 16, 40


class Drowsy(Phases):
    """Rests until it has input, whatever is due or open, where it is quiet and does not compute."""

    def _rests_until_ns(self) -> int:
        return NEVER

    def has_open(self) -> bool:
        return False


class Unannounced:
    """A network's timetable that does not wake a rank: what its transfers end with is there for it,
    but is no input."""

    def __init__(self, inner: Any, rank: int) -> None:
        self.clock, self.later = inner.clock, inner.later
        self._inner, self._rank = inner, rank

    def arrival(self, rank: int) -> None:
        if rank != self._rank:
            self._inner.arrival(rank)


class Trusting(Phases):
    """Rests with something open too, and so relies on what wakes it."""

    def has_open(self) -> bool:
        return False


def test_who_computes_makes_every_iteration_and_who_does_not_makes_few() -> None:
    made: Counter[int] = Counter()

    class Counted(Phases):
        def observe(self) -> None:
            made[self.rank.rank] += 1
            super().observe()

    assemble = partial(build_rank, phases=Counted)
    job = Simulation(_experiment(RANKS, STEPS), jump=False, assemble=assemble)
    reports = job.run()
    generation = job.topology.instances[-1].members
    steps = {rank: reports[rank].work.tokens for rank in generation}
    working = [rank for rank in generation if steps[rank]]
    assert len(working) == RANKS // 8
    for rank in working:
        assert made[rank] >= STEPS - 1
    idle = [rank for rank in generation if rank not in working and rank != generation[0]]
    assert idle
    for rank in idle:
        assert made[rank] < STEPS // 4


RECEIVER = 3


def _receiving(*, jump: bool, mute: bool, **more: Any) -> Ran:
    """Rank 3 receives 31 ms long, and has nothing to compute while rank 2 of its group has."""
    requests = [
        {"at": "0s", "prompt_tokens": 64, "output_tokens": 400, "wanted": 0},
        {"at": "150ms", "prompt_tokens": 512, "output_tokens": 10, "wanted": 1},
    ]
    data = {
        "name": "unannounced",
        "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
        "transceiver": {"link": {"latency": "20us", "bandwidth": "16MiB"}},
        "workload": {"kind": "script", "requests": requests},
    }

    def prepare(job: Simulation) -> None:
        if mute:
            network: Any = job._network
            network._timetable = Unannounced(network._timetable, RECEIVER)

    return run(data, jump=jump, prepare=prepare, **more)


def test_a_transfers_end_that_wakes_nobody_is_found() -> None:
    """Who has something open looks at it in each iteration that is made, so a run that does not
    jump needs nobody to wake it. One that rests would be as late as one that jumps."""
    assert not differences(*[_receiving(jump=jump, mute=False) for jump in (True, False)])
    jumped, stepped = (_receiving(jump=jump, mute=True) for jump in (True, False))
    assert "'complete'" in differences(jumped, stepped)[0]
    trusting = partial(build_rank, phases=Trusting)
    assert not differences(jumped, _receiving(jump=False, mute=True, assemble=trusting))
    # The reference is right: it is as if the rank had been woken.
    assert not differences(stepped, _receiving(jump=True, mute=False))


def test_who_rests_for_too_long_is_found() -> None:
    """The detector: what the comparison of runs says about a rank that takes itself to rest."""
    drowsy = partial(build_rank, phases=Drowsy)
    found = 0
    for seed in range(20):
        try:
            stepped = run(experiment(seed), jump=False, assemble=drowsy, most_events=20_000)
        except (AssertionError, AdpkvError):
            found += 1
        else:
            found += bool(differences(run(experiment(seed)), stepped))
    assert found >= 3
