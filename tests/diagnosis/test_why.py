"""What the odd rank alone knew is named: the first value is the one it acted on."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv.config import parse
from adpkv.diagnosis.evidence import Evidence
from adpkv.diagnosis.report import make_report
from adpkv.diagnosis.why import differences
from adpkv.errors import StuckError
from adpkv.executor.collectives import Collective
from adpkv.executor.phases import Phases
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.virtual.run import Simulation
from tests.diagnosis.test_render import report_of
from tests.scenarios.story import Script, arrival, setting

EXPECTED = {
    # regression: (outliers, value, what they have, what the others have)
    "01": ((3,), "staged, completed", (1,), (0,)),
    "02": ((12,), "staged, failed", (1,), (0,)),
    "03": ((1,), "next request fits", ("no",), ("none waits",)),
    "05": ((4,), "transfers in flight", (1,), (0,)),
    "12": ((7,), "proposes to stop", ("with 75",), ("no",)),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_value_that_a_policy_acted_on_comes_first(name: str) -> None:
    outliers, value, odd, others = EXPECTED[name]
    report = report_of(name)
    assert report.diagnosis.outliers == outliers
    first = report.why[0]
    assert (first.name, first.outliers, first.others) == (value, odd, others)
    assert first.clear


def test_one_block_too_few_is_told() -> None:
    lacking = next(d for d in report_of("03").why if d.name == "blocks that it lacks")
    assert (lacking.outliers, lacking.others) == ((1,), (0,))


class Asserted(Phases):
    """In the manner of regression 14: who has no dummy, asks the others for a block."""

    async def sync(self) -> Any:
        rank = self.rank
        if rank.rank == 3 and rank.iteration == 4:
            rank.serving.leases.free_dummy()
        if not rank.serving.leases.has_dummy:
            await Collective(self._group, "tp_allgather", "dummy", rank.iteration, rank.plan, None)
        return await super().sync()


def stuck_with(phases: type[Phases]) -> Evidence:
    def assemble(*args: Any, **ports: Any) -> Any:
        return build_rank(*args, phases=phases, **ports)

    experiment = parse(setting("why", 2, 3), "why")
    job = Simulation(
        experiment, workload=Script([arrival(0, 32, 4)]), assemble=assemble, jump=False
    )
    with pytest.raises(StuckError) as caught:
        job.run()
    assert isinstance(caught.value.evidence, Evidence)
    return caught.value.evidence


def test_a_dummy_that_is_not_there_is_named() -> None:
    report = make_report(stuck_with(Asserted))
    assert report.diagnosis.outliers == (3,)
    assert [(d.outliers, d.others) for d in report.why if d.name == "has its dummy"] == [
        ((False,), (True,))
    ]


def test_what_the_others_differ_in_too_comes_last_or_not_at_all() -> None:
    """On sixteen ranks much differs by load; only what none of the others has is told."""
    report = report_of("02")
    clear = [difference.clear for difference in report.why]
    assert clear == sorted(clear, reverse=True)
    for difference in report.why:
        assert not set(difference.outliers) & set(difference.others)


def test_where_nothing_is_known_nothing_is_told() -> None:
    report = report_of("missing participant")
    assert differences(report.evidence, report.diagnosis) == []


def test_requests_and_pins_of_the_odd_rank_are_told() -> None:
    report = report_of("05")
    assert report.requests == (3,)
    pins = {rank_state.rank: rank_state.pins for rank_state in report.evidence.rank_states}
    assert pins[4].in_flight == pins[0].in_flight == (3,)
    assert report.graph.cycle == ((4,), (0,)), "its poll waits for a sender that waits for it"
