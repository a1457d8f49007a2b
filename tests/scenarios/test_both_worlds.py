"""The stories of both worlds in virtual time; `tests/real_ranks/test_mpi_scenarios.py` has the
other."""

from __future__ import annotations

import pytest

from tests.scenarios.both_worlds import STORIES, seen_of
from tests.scenarios.story import tell


@pytest.mark.parametrize("name", STORIES)
def test_in_virtual_time(name: str) -> None:
    story = STORIES[name]()
    story.check(seen_of(tell(story.data, story.arrivals, in_doubt=story.in_doubt)))


@pytest.mark.parametrize("name", STORIES)
def test_without_its_fault_it_is_another_story(name: str) -> None:
    """What is checked is the fault's doing: it cannot pass by itself."""
    story = STORIES[name]()
    arrivals = story.arrivals[: len(story.arrivals) - len(story.unheard)]
    healthy = seen_of(tell(story.data | {"faults": []}, arrivals))
    with pytest.raises(AssertionError):
        story.came_to(healthy)
