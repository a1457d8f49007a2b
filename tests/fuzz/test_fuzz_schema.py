"""The generator covers the whole schema: every key, at ordinary values and at its ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from random import Random
from typing import Any

import pytest

from adpkv.config.fault_kinds import KINDS
from adpkv.config.validation import validate
from tests.fuzz.experiments import Swarm, experiment
from tests.fuzz.schema import alternatives, keys, keys_of
from tests.fuzz.values import OWN, value

MANY = Swarm(given=0.8, extreme=0.2, faults=4, policies=0.3, rare=0.3)


@cache
def drawn(more: int = 0) -> list[dict[str, Any]]:
    """What some seeds give, as they come and with much in each."""
    few = [experiment(seed) for seed in range(30)]
    return few + [experiment(seed, MANY) for seed in range(100 + more)]


def test_every_key_of_the_schema_is_generated() -> None:
    """A new key is, from the day on which it is there. Each in valid experiments: what the mending
    throws out again would be generated in vain."""
    known = {place for place, _ in keys()}
    found = Counter(place for data in drawn() for place, _ in keys_of(data))
    assert set(found) <= known
    # An expectation stands in three places, and is one section.
    regression = {place for place in known if place.startswith("regression.")}
    assert known - regression <= set(found), "given by no experiment"
    expected = {place.replace("before.virtual", "after") for place in regression & set(found)}
    assert {place for place in regression if place.startswith("regression.after")} <= expected


@pytest.mark.campaign
def test_all_choices_are_made() -> None:
    """Each value of each key that has a list of them, but for a regression's."""
    found: dict[str, set[object]] = {}
    for data in drawn(more=300):
        for place, chosen in keys_of(data):
            if isinstance(chosen, str | bool):
                found.setdefault(place, set()).add(chosen)
    for place, node in keys():
        for one in alternatives(node):
            if not place.startswith("regression"):
                assert set(one.get("enum", ())) <= found.get(place, set()), place


@pytest.mark.slow
def test_faults_are_combined() -> None:
    """Every two kinds meet in some experiment of a few thousand seeds; here, nearly all."""
    kind = Swarm(given=0.3, faults=6)
    pairs = set()
    for seed in range(100):
        kinds = sorted({fault["kind"] for fault in experiment(seed, kind)["faults"]})
        pairs.update(combinations(kinds, 2))
    assert len(pairs) > 0.95 * len(KINDS) * (len(KINDS) - 1) / 2


@pytest.mark.campaign
def test_values_at_the_ends_are_given() -> None:
    given: dict[str, set[str]] = {}
    for data in drawn(more=450):
        for place, one in keys_of(data):
            given.setdefault(place, set()).add(repr(one))
    missing = [
        place
        for place, ends in _ends()
        if not place.startswith("regression") and not ends & given.get(place, set())
    ]
    # What hardly any relation lets through: a piece holds a block, and a budget a piece; the least
    # delay is not above the largest.
    shapes = {f"model.{key}" for key in ("layers", "kv_heads", "head_dim", "dtype_bytes")}
    delays = {place for place in missing if place.endswith(".cancel.delay.min")}
    assert set(missing) <= {"transceiver.piece", *shapes, *delays}
    assert len(delays) <= 1


def _ends() -> Iterator[tuple[str, set[str]]]:
    draw = Random(0)
    for place, node in keys():
        for one in alternatives(node):
            if "properties" not in one and one.get("type") != "array" and "enum" not in one:
                yield place, {repr(value(draw, place, one, extreme=True)) for _ in range(60)}


def test_lines_of_their_own_are_for_keys_that_are_there() -> None:
    known = {place for place, _ in keys()}
    assert {place.removesuffix("[]") for place in OWN} <= known


def test_what_is_drawn_is_valid_and_the_same_each_time() -> None:
    for seed in range(20):
        data = experiment(seed)
        assert validate(data)[1] == []
        assert experiment(seed) == data


def test_a_key_of_a_new_type_is_noticed() -> None:
    with pytest.raises(AssertionError, match="which nothing here makes"):
        value(Random(0), "somewhere.new", {"type": "colour"}, extreme=False)
