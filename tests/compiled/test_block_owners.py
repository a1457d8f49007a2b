"""`owners.c` and `owners.py`: the same owners, results and errors."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adpkv.memory import owners
from tests.compiled.in_c import loaded

FREE, BLOCKS = 0, 6
OWNERS = (FREE, *[10**6 + number for number in range(4)])
"""They are known by identity, as the objects that they are."""

OWNER = st.sampled_from(OWNERS)
BLOCK = st.integers(-BLOCKS - 2, BLOCKS + 2) | st.sampled_from((True, 1 << 40, -(1 << 70)))
TAKEN = st.lists(BLOCK, max_size=6) | st.lists(BLOCK, max_size=6).map(tuple)
STEPS = st.lists(
    st.tuples(st.just("exchange"), TAKEN, OWNER, OWNER) | st.tuples(st.just("take"), TAKEN, OWNER),
    max_size=12,
)


def _done(module: ModuleType, steps: list[tuple[Any, ...]]) -> list[str]:
    """What one can see after each step."""
    had: list[Any] = [FREE] * BLOCKS
    seen = []
    for what, *told in steps:
        try:
            found = getattr(module, what)(had, *told)
        except IndexError as error:
            found = error
        seen.append(f"{what} {found!r} {had!r}")
    return seen


@given(STEPS)
@settings(max_examples=600, deadline=None)
def test_both_do_the_same(steps: list[tuple[Any, ...]]) -> None:
    assert _done(loaded("memory/owners"), steps) == _done(owners, steps)


@pytest.mark.parametrize("module", [owners, None])
def test_a_block_that_is_named_twice_is_exchanged_once(module: ModuleType | None) -> None:
    made = module or loaded("memory/owners")
    had = [FREE] * BLOCKS
    assert made.exchange(had, [2, 1, 2, 0], FREE, OWNERS[1]) == 2
    assert had == [FREE, OWNERS[1], OWNERS[1], FREE, FREE, FREE]
    assert made.take(had, [0, 2, 1, 2], OWNERS[2]) == [FREE, OWNERS[1], OWNERS[2]]


@pytest.mark.parametrize("name", owners.__all__)
def test_what_is_no_block_or_owner_is_refused(name: str) -> None:
    more = (FREE,) * (2 if name == "exchange" else 1)
    for module in (owners, loaded("memory/owners")):
        for told in (
            (),
            ([0],),
            ([0], [0]),
            ([0], ["0"], *more),
            ([0], 0, *more),
            (None, [0], *more),
        ):
            with pytest.raises(TypeError):
                getattr(module, name)(*told)
