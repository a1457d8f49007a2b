"""The last collectives of a group: their sites are those that are told."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adpkv.executor.collectives import Collective
from adpkv.worlds.virtual.history import REMEMBERED, Noted, sites, told

ITERATION: Any = (5, None, None)


def alone(site: str) -> Any:
    return Collective(0, "tp_allreduce", site, 5, None, None)


NOTED = st.lists(st.sampled_from([ITERATION, alone("vote"), alone("leave")]), max_size=20)


@given(NOTED, st.integers(1, 20))
def test_sites_are_those_of_the_collectives_that_are_told(kinds: list[Any], most: int) -> None:
    noted: deque[Noted] = deque(((at, 0, what) for at, what in enumerate(kinds)), REMEMBERED)
    there = told(noted, 0)[-most:]
    assert sites(noted, most) == tuple((one.kind, one.site) for _, _, one in there)


@pytest.mark.parametrize("most", [0, 3])
def test_of_none_there_are_none(most: int) -> None:
    assert sites(deque(), most) == ()
