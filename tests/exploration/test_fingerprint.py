"""What is the same for all that comes has one fingerprint."""

from __future__ import annotations

from typing import Any, ClassVar

from adpkv.core.ids import NEVER
from adpkv.executor.collectives import Step
from adpkv.exploration.fingerprint import _Walk
from adpkv.native_value import NativeValue
from adpkv.worlds.virtual.offers import Offers


def told(*things: Any) -> list[bytes]:
    walk = _Walk()
    walk.see(things)
    return walk.told


def step(slope: int = 3) -> Step:
    cost = {"base": 20, "slope": slope, "most": 9, "until_ns": NEVER}
    return Step(0, "step", "forward", 1, None, **cost, run=print, tokens=2)


def offered(earlier: int, since: int = 0) -> Offers:
    """Two members that await their next step after so many earlier ones."""
    offers = Offers(2)
    for _ in range(earlier):
        offers.renew((0, 1), [step(slope=5), step()])
        offers.advance(1)
    offers.renew((0, 1), [step(), step()])
    if earlier > 1:
        offers.renew((1,), [step()])  # who came last is of the past too
    offers.advance(since)
    return offers


def test_how_many_steps_a_group_has_made_makes_no_difference() -> None:
    assert told(offered(1)) == told(offered(3))
    assert told(offered(1, since=2)) == told(offered(3, since=2))


def test_how_many_steps_a_member_has_made_makes_one() -> None:
    assert told(offered(1, since=1)) != told(offered(1, since=2))


class _Native(NativeValue):
    """As in the compiled build: of `iteration` only the past is told."""

    __match_args__: ClassVar[tuple[str, ...]] = ("site", "iteration")

    def __init__(self, site: str, iteration: int = 0) -> None:
        self.site, self.iteration = site, iteration


def test_native_values_are_told_by_their_fields_as_structures_are() -> None:
    shared = _Native("a")
    assert told(shared, shared) == told(_Native("a"), _Native("a", 7))
    assert told(shared) != told(_Native("b"))
