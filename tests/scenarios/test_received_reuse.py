"""Contract 10: what a receiver has already is not sent, in whole runs; and each way to get that
wrong is noticed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from adpkv.core.request import ServedRequest
from adpkv.core.session import Role, Session
from adpkv.core.session_book import SessionBook
from adpkv.executor.generation import GenerationServing
from adpkv.executor.leases import Leases
from adpkv.executor.rank import status_of
from adpkv.worlds.assemble import Parts, build_rank
from tests.scenarios.story import setting, tell
from tests.worlds.virtual.running import problems, run

REUSE: dict[str, Any] = {"block_tokens": 16, "blocks": 33, "reuse": True, "reuse_received": True}


def asked(at_ms: int, prompt: int, prefix: int, output: int = 4, **more: Any) -> dict[str, Any]:
    return {
        "at": f"{at_ms}ms",
        "prompt_tokens": prompt,
        "output_tokens": output,
        "prefix": prefix,
        **more,
    }


def script(*requests: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return setting(
        "reuse",
        1,
        1,
        **{"kv_cache": REUSE, "workload": {"kind": "script", "requests": requests}, **sections},
    )


def test_only_what_is_missing_is_sent_and_a_full_hit_is_a_notification() -> None:
    told = tell(script(asked(0, 64, 1), asked(100, 120, 1), asked(200, 112, 1), asked(300, 40, 1)))
    assert told.outcomes == ["completed"] * 4
    block_bytes = told.job.experiment.block_bytes
    transfers = told.summary["transfers"]
    assert (transfers["completed"], transfers["cached"]) == (4, 1)
    # Four blocks; four of eight; none of seven; one of three, the last, which is not full.
    assert transfers["bytes"] == (4 + 4 + 0 + 1) * block_bytes
    assert transfers["bytes_cached"] == (0 + 4 + 7 + 2) * block_bytes
    assert told.summary["rates"]["received_hit_rate"] == pytest.approx(13 / 22)
    sender, receiver = (status_of(program.phases.rank, 0, ()) for program in told.job.programs)
    assert (sender.reused, receiver.reused) == ((), (1, 13 * block_bytes)), "for metrics"
    assert told.kinds(2, 1) == ["assigned", "reused", "queued", "complete", "responded"]
    assert told.record(2).kv_transfer_ns == told.record(2).slot_wait_ns == 0
    assert told.kinds(2, 0)[-1] == "complete", "its sender's copy is free"
    assert told.at_ns("complete", 2, 0) < told.at_ns("responded", 2, 1)


def test_a_full_hit_needs_no_link_and_a_lost_message_costs_its_sender_its_wait() -> None:
    """The request decodes all the same; its sender waits for an advertise for as long as it may,
    and frees its blocks then."""
    data = script(
        asked(0, 64, 1),
        asked(100, 64, 1),
        transceiver={"wait_timeout": "300ms", "mail_latency": "50us"},
        executor={"queue_timeout": "100ms"},
        faults=[
            {"kind": "lose", "phase": "cached"},
            {"kind": "stall", "requests": [1], "phase": "post"},
        ],
    )
    data["workload"]["requests"] += (asked(4000, 64, 2),)
    told = tell(data)
    assert told.outcomes == ["completed"] * 3
    assert told.events(1, 0)[-1][2] == "timed_out"
    assert told.at_ns("complete", 1, 1) < told.at_ns("timed_out", 1, 0)


def test_requests_that_share_are_in_one_pool_together() -> None:
    """Eight blocks and two: eight requests at once in a pool of 32, which has room for three."""
    told = tell(script(asked(0, 128, 1), asked(100, 128, 1, 40, times=8)))
    assert told.outcomes == ["completed"] * 9
    assert told.summary["transfers"]["cached"] == 8
    begun = [e[0] for e in told.ran.events if e[1:3] == (1, "complete")][1:]
    over = [r.ended_ns for r in told.ran.records][1:]
    assert max(begun) < min(over), "all of them decode at the same time"


def test_the_cache_makes_room_and_the_oldest_goes_first() -> None:
    """Three prompts of ten blocks fit; the fourth evicts the first one's, tail first."""
    prompts = [asked(100 * i, 160, i) for i in range(4)]
    told = tell(script(*prompts, asked(500, 160, 3), asked(600, 160, 0)))
    assert told.outcomes == ["completed"] * 6
    assert told.summary["transfers"]["cached"] == 1
    assert "reused" in told.kinds(4, 1)
    reused = [e[4]["blocks"] for e in told.events(5, 1) if e[2] == "reused"]
    assert sum(reused) < 10, "some of it was gone, and is sent"


def test_what_the_router_heard_of_is_evicted_before_it_is_assigned() -> None:
    """Both come to the generation server in one plan, and the first one takes a block that the
    second was to have."""
    data = script(
        asked(0, 48, 1),
        asked(100, 48, 2),
        asked(200, 416, 7, 16),
        asked(200, 56, 1),
        router={"policy": "prefix"},
    )
    data["topology"]["context"]["ranks"] = 2
    told = tell(data)
    assert told.outcomes == ["completed"] * 4
    assert told.at_ns("assigned", 2, 2) == told.at_ns("assigned", 3, 2)
    [reused] = [e[4]["blocks"] for e in told.events(3, 2) if e[2] == "reused"]
    assert reused < 3


def test_requests_come_back_to_the_rank_that_has_their_prefix() -> None:
    """By `prefix`, on four and four ranks: nearly all that is shared is sent once."""
    workload = {
        "kind": "closed_loop",
        "users": 2,
        "requests": 120,
        "prompt_tokens": {"min": 104, "max": 104},
        "output_tokens": {"min": 2, "max": 2},
        "shared_prefix": {"groups": 8, "tokens": 96},
    }
    found = {}
    for policy in ("prefix", "round_robin"):
        data = setting("affinity", 4, 4, kv_cache=REUSE, router={"policy": policy})
        summary = run(data | {"workload": workload}).summary
        assert summary["requests"]["completed"] == 120
        found[policy] = summary["rates"]["received_hit_rate"]
    assert found["prefix"] > 0.75 > 0.55 > found["round_robin"]


# -- what is noticed ----------------------------------------------------------------------------


class ExposesAll(GenerationServing):
    """Advertises the whole prompt's blocks, those that others read among them."""

    def admit(self, now_ns: int) -> None:
        reserve = self.transceiver.reserve
        self.transceiver.reserve = lambda *given: reserve(*given[:4])  # type: ignore[method-assign]
        super().admit(now_ns)
        self.transceiver.reserve = reserve  # type: ignore[method-assign]


class KeepsWhatIsToCome(GenerationServing):
    """Others may have the KV as soon as it is asked for."""

    def exposed(self, session: Session) -> None:
        request = self.requests[session.session_id[0]]
        self.leases.keep(request, request.spec.block_hashes)
        super().exposed(session)


class NeverUnpins(GenerationServing):
    """Forgets whose the blocks are."""

    def release(self, request: ServedRequest) -> None:
        request.pins = None
        super().release(request)


class Unpinned(Leases):
    """What is found is used, and anybody may have it (sglang #19746 locks it)."""

    def give_apart(self, request: ServedRequest, count: int, hashes: Sequence[int]) -> bool:
        given = super().give_apart(request, count, hashes)
        if request.pins is not None:
            self._pool.release(request.pins)
        return given

    def unpin(self, request: ServedRequest) -> None:
        request.pins = None


class PinsNothing(GenerationServing):
    """Its requests read what others may be given."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.leases.free_dummy()
        self.leases = Unpinned(self.pool, self.memory)


SKIP = SessionBook.skip


def _counts_from_the_beginning(self: SessionBook, session: Session, cached: int) -> None:
    """A sender that sends as many blocks as are missing, but the first ones (vllm #50558)."""
    every = session.blocks
    SKIP(self, session, cached)
    if self.role is Role.SENDER:
        session.blocks = every[: len(every) - cached]


SHARED = (asked(0, 128, 1), asked(100, 136, 1, 20, times=3), asked(140, 250, 2, 8, times=2))


def _noticed(
    data: dict[str, Any], generation: type[GenerationServing] = GenerationServing
) -> set[str]:
    ran = run(data, assemble=partial(build_rank, parts=Parts(generation=generation)))
    return {violation.kind for report in ran.reports for violation in report.violations}


def test_nothing_is_noticed_without_a_mistake() -> None:
    assert _noticed(script(*SHARED)) == set()
    assert problems(run(script(*SHARED))) == []


@pytest.mark.parametrize(
    ("mutant", "kind"),
    [
        (ExposesAll, "shared_block"),
        (KeepsWhatIsToCome, "shared_block"),
        (PinsNothing, "shared_block"),
        (NeverUnpins, "leak"),
    ],
)
def test_a_mistake_about_pins_is_noticed(mutant: type[GenerationServing], kind: str) -> None:
    assert kind in _noticed(script(*SHARED), mutant)


@pytest.mark.parametrize("staging", ["off", "on"])
def test_kv_of_the_wrong_place_is_noticed(staging: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SessionBook, "skip", _counts_from_the_beginning)
    assert _noticed(script(*SHARED, transceiver={"staging": staging})) == {"wrong_kv"}
