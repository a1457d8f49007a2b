"""A clock that steps ahead, and the way back from its readings to the world's time."""

from __future__ import annotations

from random import Random

import pytest

from adpkv.core.ids import NEVER
from adpkv.faults.clock import SkewedClock


def test_it_is_ahead_from_its_step_on() -> None:
    clock = SkewedClock(lambda: 0, [(100, 30)])
    assert [clock.reading(at_ns) for at_ns in (99, 100, 101)] == [99, 130, 131]
    assert [clock.world_ns(reading) for reading in (99, 100, 115, 130, 131)] == [
        99, 100, 100, 100, 101,
    ]  # fmt: skip
    assert clock.world_ns(NEVER) == NEVER


@pytest.mark.parametrize("seed", range(20))
def test_the_way_back_is_the_first_time_that_reads_as_much(seed: int) -> None:
    draw = Random(seed)
    steps = [(draw.randrange(30), draw.randrange(1, 9)) for _ in range(draw.randint(1, 4))]
    clock = SkewedClock(lambda: 0, steps)
    for reading_ns in range(60):
        first = next(at_ns for at_ns in range(61) if clock.reading(at_ns) >= reading_ns)
        assert clock.world_ns(reading_ns) == first, (steps, reading_ns)
