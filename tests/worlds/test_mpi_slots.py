"""The slot codec: pure, so every way of disagreeing can be tried without a process."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import msgspec
import pytest

from adpkv.core.plan import Plan
from adpkv.core.stop import StopReason
from adpkv.core.values import RequestSpec
from adpkv.core.waiting import Waiting
from adpkv.errors import AdpkvError, CollectiveMismatchError, Place
from adpkv.executor.digest import PlanDigest
from adpkv.flight_recorder.slot_layout import PLACE, SLOT_BYTES, SlotPlace
from adpkv.worlds.mpi.slots import (
    INLINE_BYTES,
    MAX_PAYLOAD_BYTES,
    PayloadCodec,
    code,
    disagreement,
    inline_payload,
    long_lengths,
    read_bodies,
    slot_body,
)


class Word(msgspec.Struct, frozen=True):
    text: str


def place(**differs: object) -> bytes:
    at: dict[str, Any] = {
        "group": 1, "epoch": 0, "kind": "tp_gather", "site": "flush",
        "sequence": 5, "iteration": 2, "digest": 9,
    }  # fmt: skip
    at.update(differs)
    codes = code(at["kind"]), code(at["site"])
    numbers = (at[name] for name in ("group", "epoch", "sequence", "iteration"))
    return PLACE.pack(*numbers, *codes, at["digest"])


def slot(payload: bytes = b"", **differs: object) -> bytes:
    return place(**differs) + slot_body(payload)


def test_a_slot_has_one_width_whatever_it_carries() -> None:
    for size in (0, 1, INLINE_BYTES, INLINE_BYTES + 1, 100_000):
        assert len(slot(b"x" * size)) == SLOT_BYTES


@pytest.mark.parametrize("size", [0, 1, 100, INLINE_BYTES])
def test_what_fits_comes_back(size: int) -> None:
    payload = bytes(range(size))
    bodies = read_bodies(slot() + slot(payload), place())
    assert bodies is not None
    assert inline_payload(bodies[1]) == payload
    assert long_lengths(bodies) is None


def test_what_does_not_fit_is_announced_by_its_length() -> None:
    own = slot(b"x" * (INLINE_BYTES + 1))
    bodies = read_bodies(slot(b"ab") + own + slot(b"y" * 70_000), place())
    assert bodies is not None
    assert long_lengths(bodies) == [0, INLINE_BYTES + 1, 70_000]


def test_the_same_bodies_at_the_same_place_are_seen_at_one_glance() -> None:
    bodies = read_bodies(slot(b"ab") + slot(b"cd"), place())
    assert bodies is not None
    said, later = [b"", *bodies], place(sequence=9, iteration=3)

    def seen(second: bytes) -> bool:
        return slot(b"ab", sequence=9, iteration=3) + second == later.join(said)

    assert seen(slot(b"cd", sequence=9, iteration=3))
    assert not seen(slot(b"ce", sequence=9, iteration=3))
    assert not seen(slot(b"cd", sequence=8, iteration=3))
    assert not seen(slot(b"cd", sequence=9, iteration=3, site="sync"))


@pytest.mark.parametrize(
    "differs",
    [
        {"group": 2},
        {"epoch": 1},
        {"sequence": 6},
        {"iteration": 3},
        {"kind": "tp_allgather"},
        {"site": "respond"},
        {"digest": 8},
    ],
)
def test_each_part_of_the_place_is_compared(differs: dict[str, object]) -> None:
    assert read_bodies(slot() + slot(**differs), place()) is None


def test_the_error_names_all_sides_with_their_ranks() -> None:
    slots = slot() + slot(kind="tp_allgather", site="sync", digest=255) + slot()
    error = disagreement(slots, [4, 5, 6], ["tp_gather at flush", "tp_allgather at sync"] * 2)
    assert isinstance(error, CollectiveMismatchError)
    assert error.places == (
        Place(4, "tp_gather", "flush", 2),
        Place(5, "tp_allgather", "sync", 2),
        Place(6, "tp_gather", "flush", 2),
    )
    assert str(error).splitlines() == [
        "ranks of one group are in different collectives:",
        "  ranks 4, 6: tp_gather at flush"
        " (group 1, epoch 0, iteration 2, sequence 5, plan 00000009)",
        "  rank 5: tp_allgather at sync (group 1, epoch 0, iteration 2, sequence 5, plan 000000ff)",
    ]


def test_the_world_is_group_minus_one() -> None:
    assert SlotPlace.read(slot(group=-1), 0).group == -1


def test_payloads_are_typed_and_nothing_is_nothing() -> None:
    codec = PayloadCodec({"one": Word, "many": tuple[Word, ...]})
    assert codec.encode("one", None) == b""
    assert codec.encode("many", ()) == b""
    assert codec.decode("one", b"") is None
    assert codec.decode("many", b"") == ()
    assert codec.decode("one", codec.encode("one", Word("a"))) == Word("a")
    assert codec.decode("many", codec.encode("many", (Word("a"),))) == (Word("a"),)
    with pytest.raises(msgspec.ValidationError):
        codec.decode("one", msgspec.msgpack.encode({"text": 5}))


def test_a_payload_beyond_the_limit_is_refused_with_both_numbers() -> None:
    codec = PayloadCodec({"one": Word})
    with pytest.raises(
        AdpkvError, match=rf"one: a payload of \d+ bytes, at most {MAX_PAYLOAD_BYTES}"
    ):
        codec.encode("one", Word("x" * MAX_PAYLOAD_BYTES))


def test_plans_that_differ_have_different_digests_and_no_plan_has_none() -> None:
    digest, other = PlanDigest(), PlanDigest()
    assert digest(None) == 0
    assert digest(Word("a")) == other(Word("a")) != 0
    assert digest(Word("b")) != other(Word("a"))
    assert digest(None) == 0


def test_an_unchanged_plan_is_not_encoded_again() -> None:
    plan = {"forward": True}
    digest = PlanDigest()
    before = digest(plan)
    plan["forward"] = False  # a plan is frozen; this one shows whether it was looked at
    assert digest(plan) == before
    assert digest(dict(plan)) != before


def test_a_plan_counts_by_what_it_does_and_by_the_names_of_its_requests() -> None:
    one, again, other = (
        RequestSpec(1, 0, 64, 5, tuple(range(500))),
        RequestSpec(1, 1, 64, 5),
        RequestSpec(2, 0, 64, 5),
    )
    plans = [
        Plan(),
        Plan(waiting=Waiting([one])),
        Plan(waiting=Waiting([again])),
        Plan(waiting=Waiting([one, other])),
        Plan(waiting=Waiting([other, one])),
        Plan(assignments={0: (one,)}),
        Plan(assignments={1: (one,)}),
        Plan(cancels=(1,)),
        Plan(forward=True),
        Plan(stop=StopReason(75, "ill")),
        Plan(released=True),
        Plan(leave=True),
    ]
    assert len({PlanDigest()(plan) for plan in plans}) == len(plans)
    assert PlanDigest()(Plan(waiting=Waiting([one]))) == PlanDigest()(plans[1])


def test_what_goes_on_behind_the_sites_name_is_part_of_the_site() -> None:
    """A batch that must be equal changes from step to step; its code goes on from the site's."""
    rest = "[1 sequences over 3 tokens]"
    assert crc32(rest.encode(), code("forward")) == code(f"forward{rest}")
