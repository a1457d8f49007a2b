"""What is said at a call site: sent when it changes, decoded when its member has changed it."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv.flight_recorder.slot_layout import TAIL_BYTES, paired
from adpkv.worlds.mpi.call_site import AGAIN, CallSite
from adpkv.worlds.mpi.slots import NEW, code


def decoded(payload: bytes) -> list[bytes]:
    """Something that is no other's object."""
    return [payload]


def test_what_is_said_again_is_not_sent_again() -> None:
    site = CallSite("tp_allgather", "sync", 2, 0)
    assert site.tag == paired(NEW, 0), "nothing, at first: that is new too"
    assert site.say("a", b"a") == b"a"
    assert site.tag == paired(NEW, 1)
    site.hear({}, decoded)
    assert site.say("another object", b"a") == b""
    assert site.tag == AGAIN
    assert site.payload == "another object"
    assert site.say("b", b"b") == b"b"
    site.hear({}, decoded)
    assert site.say("a", b"a") == b"a"
    assert site.tag == paired(NEW, 1), "although it was said before"
    assert site.nbytes == 1


def test_a_long_payload_is_announced_and_does_not_go_into_the_slot() -> None:
    site = CallSite("tp_allgather", "sync", 2, 0)
    assert site.say("x", b"x" * TAIL_BYTES) == b"x" * TAIL_BYTES
    assert site.say("y", b"y" * (TAIL_BYTES + 1)) == b""
    assert site.tag == paired(NEW, TAIL_BYTES + 1)


def test_only_what_has_changed_is_decoded() -> None:
    site = CallSite("tp_allgather", "sync", 3, 1)
    site.hear({0: b"", 1: b"short", 2: b"long"}, decoded)
    before = site.result
    assert before == ([b""], [b"short"], [b"long"])
    site.hear({1: b"other"}, decoded)
    assert site.result == ([b""], [b"other"], [b"long"])
    assert [a is b for a, b in zip(site.result, before, strict=True)] == [True, False, True]
    assert site.payloads == [b"", b"other", b"long"], "what a rank that missed it would be given"


@pytest.mark.parametrize(
    ("kind", "index", "result"),
    [
        ("tp_broadcast", 1, [b"0"]),
        ("tp_allgather", 1, ([b"0"], [b"1"])),
        ("tp_gather", 0, ([b"0"], [b"1"])),
        ("tp_gather", 1, None),
        ("step", 0, None),
    ],
)
def test_what_a_rank_reads_depends_on_the_kind(kind: str, index: int, result: Any) -> None:
    site = CallSite(kind, "site", 2, index)
    site.hear({0: b"0", 1: b"1"}, decoded)
    assert site.result == result
    assert site.payloads == [b"0", b"1"]


def test_a_broadcast_gives_its_leader_what_it_says() -> None:
    site, said = CallSite("tp_broadcast", "intake", 2, 0), ["an object"]
    for encoded in (b"a", b"a", b"b"):
        site.say(said, encoded)
        site.hear({0: encoded}, decoded)
        assert site.result is said
        said = [*said]


def test_what_must_be_equal_beyond_the_site_is_in_its_code() -> None:
    site = CallSite("step", "forward", 2, 0)
    rest = "[1 sequences over 3 tokens]"
    assert site.code == paired(code("step"), code("forward"))
    assert site.code_with(rest) == paired(code("step"), code(f"forward{rest}"))
