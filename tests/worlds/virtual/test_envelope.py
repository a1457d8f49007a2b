"""The pace of a quiet stretch is the slowest rank's at each of its steps."""

from __future__ import annotations

from random import Random

from adpkv.worlds.virtual.stretch import envelope


def _steps(lines: list[tuple[int, int]], most: int) -> list[int]:
    found: list[int] = []
    for first, count, base, slope in envelope(lines, most):
        assert first == len(found)
        found += [base + k * slope for k in range(count)]
    return found


def _slowest(lines: list[tuple[int, int]], most: int) -> list[int]:
    return [max(base + k * slope for base, slope in lines) for k in range(most)]


def test_of_two_that_cross_at_one_step_the_higher_goes_on() -> None:
    # Both cross 1,000 after the third step; the flatter one is above at first.
    lines = [(1000, 0), (0, 300), (250, 250)]
    assert _steps(lines, 8) == _slowest(lines, 8)


def test_it_is_the_maximum_at_each_step() -> None:
    draw = Random(0)
    for _ in range(2000):
        lines = [(draw.randint(1, 30), draw.randint(0, 15)) for _ in range(draw.randint(1, 5))]
        most = draw.randint(1, 20)
        assert _steps(lines, most) == _slowest(lines, most), (lines, most)
