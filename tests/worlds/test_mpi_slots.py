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
from adpkv.flight_recorder.slot_layout import HEAD, SlotPlace
from adpkv.worlds.mpi.slots import (
    MAX_PAYLOAD_BYTES,
    NEW,
    HeadReader,
    PayloadCodec,
    code,
    disagreement,
)


class Word(msgspec.Struct, frozen=True):
    text: str


def head(new: int = 0, length: int = 0, **differs: object) -> bytes:
    at: dict[str, Any] = {
        "group": 1, "epoch": 0, "kind": "tp_gather", "site": "flush",
        "sequence": 5, "iteration": 2, "digest": 9,
    }  # fmt: skip
    at.update(differs)
    codes = code(at["kind"]), code(at["site"])
    numbers = (at[name] for name in ("group", "epoch", "sequence", "iteration"))
    return HEAD.pack(new, length, *numbers, *codes, at["digest"], 3)


def test_heads_at_the_same_place_tell_what_is_new() -> None:
    heads = head() + head(NEW, 300) + head(NEW, 0)
    assert HeadReader(3).are_one(heads)
    assert HeadReader(3).lengths_of_new(heads) == {1: 300, 2: 0}


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
    assert not HeadReader(2).are_one(head() + head(**differs))
    assert not HeadReader(2).are_one(head(NEW, 5, **differs) + head())


def test_the_error_names_all_sides_with_their_ranks() -> None:
    heads = head() + head(kind="tp_allgather", site="sync", digest=255) + head()
    error = disagreement(heads, [4, 5, 6], ["tp_gather at flush", "tp_allgather at sync"] * 2)
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
    assert SlotPlace.read(head(group=-1), 0).group == -1


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
