"""Output that ends early: how often, and with which token."""

from __future__ import annotations

import pytest

from adpkv.workload.port import Arrival
from adpkv.workload.script import Script, Scripted
from adpkv.workload.stops import Stopping

MOST = 1000


def drawn(probability: float, total: int = 2000, seed: int = 3, most: int = MOST) -> list[int]:
    script = Script([Scripted(Arrival(0, 8, most), total)])
    workload = Stopping(script, seed, probability)
    return [workload.take().stops_after for _ in range(workload.total)]


@pytest.mark.parametrize("probability", [0.05, 0.5])
def test_each_token_is_the_last_with_the_same_probability(probability: float) -> None:
    found = drawn(probability)
    assert min(found) == 1
    for token in (1, 2, 3):
        reached = [one for one in found if one >= token]
        share = sum(one == token for one in reached) / len(reached)
        assert share == pytest.approx(probability, abs=0.05)
    assert sum(found) / len(found) == pytest.approx(1 / probability, rel=0.08)


def test_what_goes_on_to_its_end_does_not_stop_early() -> None:
    found = drawn(0.5, most=2)
    assert set(found) == {-1, 1}
    assert drawn(0.5, total=9, most=0) == [-1] * 9, "there is no token to stop with"


def test_the_rarest_and_the_surest_stop() -> None:
    assert set(drawn(1e-300, total=9)) == {-1}
    assert set(drawn(1.0, total=9)) == {1}


def test_it_is_drawn_by_request_and_seed() -> None:
    assert drawn(0.1, total=50) == drawn(0.1, total=2000)[:50]
    assert drawn(0.1, total=50, seed=4) != drawn(0.1, total=50)
