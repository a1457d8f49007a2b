"""A simulation's work grows with what happens, not with how much there is besides.

Counted are calls, not time: those that Python makes are the same in every run.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest

from adpkv.bench.scale import _experiment
from adpkv.config import Experiment, parse
from adpkv.executor.phases import Phases
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.virtual.run import Simulation
from tests.worlds.virtual.experiments import experiment, replicated, staged


def _calls(work: Callable[[], Any]) -> int:
    """How many functions of adpkv are called, or resumed, in the meantime."""
    count = 0

    def look(frame: FrameType, event: str, _: Any) -> None:
        nonlocal count
        if event == "call" and frame.f_globals.get("__name__", "").startswith("adpkv."):
            count += 1

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def _per_rank_and_iteration(ranks: int) -> float:
    """What a further iteration of all ranks costs each of them: the start and the end are not in
    it."""
    found = []
    for steps in (20, 40):
        job = Simulation(_experiment(ranks, steps), jump=False)
        reports: list[Any] = []
        calls = _calls(lambda job=job, reports=reports: reports.extend(job.run()))
        found.append((calls, sum(report.iterations for report in reports)))
    (first, few), (second, many) = found
    return (second - first) / (many - few)


def test_a_rank_of_a_large_group_has_no_more_to_do_than_one_of_a_small_group() -> None:
    small, large = _per_rank_and_iteration(8), _per_rank_and_iteration(256)
    assert large <= small


def _busy(requests: int, instances: int = 1) -> Experiment:
    group = {"instances": instances, "ranks": 2}
    data: dict[str, Any] = {
        "name": "growth",
        "seed": 1,
        "topology": {"context": group, "generation": group},
        "kv_cache": {"block_tokens": 64, "blocks": 128},
        "workload": {
            "kind": "poisson",
            "rate": 20 * instances,
            "requests": requests * instances,
            "prompt_tokens": {"min": 64, "max": 512},
            "output_tokens": {"min": 4, "max": 32},
        },
    }
    return parse(data, "growth")


def _per_request(experiment: Experiment) -> float:
    job = Simulation(experiment)
    return _calls(job.run) / job.coordinator.total


@pytest.mark.parametrize(
    ("more", "most"),
    [
        pytest.param(_busy(120), 1.02, id="four times as many requests"),
        # The coordinator compares all instances as it chooses one, and arrivals fall otherwise.
        pytest.param(_busy(30, instances=8), 1.1, id="eight times as many instances"),
    ],
)
def test_a_request_costs_the_same_among_many(more: Experiment, most: float) -> None:
    assert _per_request(more) <= most * _per_request(_busy(30))


def _overloaded(requests: int) -> Experiment:
    """All come at once, and wait for blocks: on the context ranks, which say what they have cached
    of those that wait, and on the generation ranks."""
    group = {"instances": 1, "ranks": 8}
    data: dict[str, Any] = {
        "name": "overload",
        "seed": 1,
        "topology": {"context": group, "generation": group},
        "executor": {"token_budget": 512, "max_batch_size": 2, "max_requests_per_rank": 8},
        "kv_cache": {"block_tokens": 64, "blocks": 24},
        "workload": {
            "kind": "poisson",
            "rate": 100_000,
            "requests": requests,
            "prompt_tokens": {"min": 64, "max": 512},
            "output_tokens": {"min": 4, "max": 32},
        },
    }
    return parse(data, "overload")


def test_a_request_costs_the_same_in_a_long_queue() -> None:
    """When each rank looked at the requests that wait, it copied the queue: 5,000 requests on 256
    ranks took 25 times as long."""
    assert _per_request(_overloaded(1600)) <= 1.05 * _per_request(_overloaded(400))


def test_the_count_sees_work_that_grows_with_the_group() -> None:
    """The detector: each rank looks at each other one in every iteration."""
    job = Simulation(_experiment(64, 5), jump=False)
    plain = _calls(job.run)

    class Nosy(Phases):
        def observe(self) -> None:
            for other in job.programs:
                other.phases.rank.serving.running()
            super().observe()

    assemble = partial(build_rank, phases=Nosy)
    job = Simulation(_experiment(64, 5), jump=False, assemble=assemble)
    assert _calls(job.run) > 1.5 * plain


@pytest.mark.parametrize(
    "data",
    [experiment(3), replicated(4), staged(experiment(5))],
    ids=["plain", "replicas", "staged"],
)
def test_what_a_run_is_done_with_goes_at_once(data: dict[str, Any]) -> None:
    """No circle of objects is left over, which only a search of Python's would find: searches are
    rare in a simulation, and one circle a plan made up a fifth of the memory of a long trace."""
    job = Simulation(parse(data, "growth"))
    gc.collect()
    gc.disable()
    try:
        job.run()
        assert gc.collect() == 0
    finally:
        gc.enable()
