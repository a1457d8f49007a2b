"""Without jumping, a rank that rests makes no iteration; all others make each."""

from __future__ import annotations

from collections import Counter
from functools import partial

from adpkv.bench.scale import _experiment
from adpkv.core.ids import NEVER
from adpkv.errors import AdpkvError
from adpkv.executor.phases import Phases
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.virtual.run import Simulation
from tests.worlds.virtual.experiments import experiment
from tests.worlds.virtual.running import differences, run

RANKS, STEPS = 16, 40


class Drowsy(Phases):
    """Rests until it has input, whatever is due or open, where it is quiet and does not compute."""

    def _rests_until_ns(self) -> int:
        return NEVER


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
