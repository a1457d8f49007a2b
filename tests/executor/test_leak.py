"""A block that nobody can account for when a rank leaves is seen, whoever lost it."""

from __future__ import annotations

from functools import partial

import pytest

from adpkv.config import parse
from adpkv.core.report import RankReport
from adpkv.executor.phases import Phases
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.virtual.run import Simulation

EXPERIMENT = {
    "name": "leak",
    "topology": {
        "context": {"instances": 1, "ranks": 2},
        "generation": {"instances": 1, "ranks": 1},
    },
    "workload": {
        "kind": "closed_loop",
        "users": 2,
        "requests": 4,
        "prompt_tokens": {"min": 20, "max": 40},
        "output_tokens": {"min": 2, "max": 4},
    },
}


class Forgetful(Phases):
    """Rank 1 takes two blocks on its way out and tells nobody."""

    async def leave(self) -> tuple[RankReport, ...]:
        if self.rank.rank == 1:
            self.rank.serving.pool.acquire(2)
        return await super().leave()


@pytest.mark.parametrize(("phases", "leaked"), [(Phases, 0), (Forgetful, 2)])
def test_a_leak_is_a_violation_with_its_rank(phases: type[Phases], leaked: int) -> None:
    job = Simulation(parse(EXPERIMENT, "leak"), assemble=partial(build_rank, phases=phases))
    reports = job.run()
    assert [report.blocks.leaked for report in reports] == [0, leaked, 0]
    found = [(v.kind, v.rank) for report in reports for v in report.violations]
    assert found == ([("leak", 1)] if leaked else [])
    assert [report.exit_code for report in reports] == [0, 4 if leaked else 0, 0]
