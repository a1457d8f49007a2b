"""Staged transfers in virtual time: random experiments keep the contract, a request's blocks are
free as soon as it is over, and each oracle fires for what it watches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adpkv.core.session import State
from adpkv.executor.serving import Serving
from adpkv.memory.port import PASSED
from adpkv.transport.staged import StagedTransport
from adpkv.transport.staged_chunks import Receiving, Sending
from tests.worlds.virtual.experiments import (
    experiment,
    mortal,
    replay,
    replicated,
    staged,
    surviving,
)
from tests.worlds.virtual.running import Ran, examine, run
from tests.worlds.virtual.seeds import batch, batches


@pytest.mark.parametrize("first", batches(0, 320))
def test_random_experiments(first: int) -> None:
    """One kind of experiment for each seed, in turn: with ADP, without, with ranks that fail."""
    wrong = {}
    for seed in batch(first):
        kinds = (
            experiment(seed),
            replicated(seed),
            mortal(experiment(seed)),
            mortal(replicated(seed)),
            surviving(experiment(seed)),
        )
        found = examine(staged(kinds[seed % len(kinds)]), eager=seed % 4 == 0)
        if found:
            wrong[replay(seed)] = found
    assert not wrong


BLOCK_BYTES = 16 * 1024


def data(*faults: dict[str, Any], **transceiver: Any) -> dict[str, Any]:
    """Two and two ranks, slots of two blocks, prompts of up to eight: four chunks for each half.
    Half of the requests are cancelled, somewhere on their way."""
    return {
        "name": "staged",
        "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
        "kv_cache": {"block_tokens": 16, "blocks": 40},
        "transceiver": {
            "staging": "on",
            "staging_slot": f"{2 * BLOCK_BYTES}B",
            "staging_slots": 3,
            "staging_bandwidth": "64MiB",
            "link": {"latency": "1ms", "bandwidth": "12MiB"},
        }
        | transceiver,
        "model": {"step_base": "1ms"},
        "workload": {
            "kind": "closed_loop",
            "users": 8,
            "requests": 120,
            "prompt_tokens": {"min": 100, "max": 128},
            "output_tokens": {"min": 2, "max": 8},
            "cancel": {"probability": 0.5, "delay": {"min": "5ms", "max": "40ms"}},
        },
        "faults": list(faults),
    }


def kinds(ran: Ran) -> set[str]:
    """The kinds of the violations that were found."""
    return {violation["kind"] for violation in ran.summary["violations"]}


def test_blocks_are_free_as_soon_as_a_request_is_over() -> None:
    """A transfer that is stuck for ever: its client has an answer, its blocks have new owners, and
    only its slots are in quarantine."""
    stuck = {"kind": "stall", "phase": "post", "requests": [3]}
    ran = run(data(stuck, transfer_timeout="100ms", staging_slots=8))
    assert kinds(ran) == set()
    assert ran.summary["transfers"]["quarantined_now"] == 2  # at both ends
    assert ran.summary["staging"] == {"total": 32, "free": 30, "quarantined": 2}
    for blocks in ran.summary["blocks"].values():
        assert blocks["quarantined"] == blocks["in_transfer"] == blocks["active"] == 0
        assert blocks["free"] + blocks["cached"] == blocks["total"]


def test_without_staging_the_same_keeps_blocks() -> None:
    """The test above would not see the difference otherwise."""
    stuck = {"kind": "stall", "phase": "post", "requests": [3]}
    ran = run(data(stuck, transfer_timeout="100ms", staging="off"))
    assert ran.summary["staging"] is None
    assert sum(blocks["quarantined"] for blocks in ran.summary["blocks"].values()) >= 14


def test_no_more_transfers_than_slots_are_in_flight() -> None:
    most = 0

    def watch(job: Any) -> None:
        for program in job.programs:
            book = program.phases.rank.transceiver.book
            before = book._expose

            def expose(*told: Any, book: Any = book, before: Any = before) -> None:
                nonlocal most
                before(*told)
                most = max(most, book.in_flight)

            book._expose = expose

    ran = run(data(), prepare=watch)
    assert kinds(ran) == set()
    assert most == 3


def test_packing_takes_time() -> None:
    """Both ends copy 128 KiB for each request at most; at 1 MiB/s that is a quarter of a second."""
    fast, slow = run(data(staging_bandwidth="1000GiB")), run(data(staging_bandwidth="1MiB"))
    assert slow.summary["latency"]["kv_transfer_s"]["p50"] > 0.05
    assert fast.summary["latency"]["kv_transfer_s"]["p50"] < 0.05


def test_a_lost_message_about_chunks_is_sent_again() -> None:
    """A message contains those before it, so two in a row are lost: with the second one both halves
    of the slot wait. The transfer goes on when it is repeated."""
    lost = {"kind": "lose", "phase": "unpacked", "requests": [4], "count": 2}
    ran = run(data(lost, transfer_timeout="2s") | {"workload": WITHOUT_CANCELS})
    assert ran.summary["faults"] == {"lose": 2}
    assert ran.summary["requests"]["completed"] == 120
    assert 0.25 <= ran.summary["latency"]["kv_transfer_s"]["max"] < 1


WITHOUT_CANCELS = {key: value for key, value in data()["workload"].items() if key != "cancel"}


# -- the oracles fire ------------------------------------------------------------------------------


def _never_retires(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on with a transfer whose request is over: as if nobody had told it."""
    monkeypatch.setattr(StagedTransport, "retire", lambda *_: None)
    monkeypatch.setattr(StagedTransport, "withdraw", lambda *_: None)
    monkeypatch.setattr(StagedTransport, "peer_ended", lambda *_: None)


def _ends_without_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transfer that is stopped counts as over, whatever the inner transport has open."""
    before = StagedTransport._end_if_over

    def ends(self: Any, found: Any, *, soon: bool = False) -> None:
        if found.stopped:
            found.open = set()
        before(self, found, soon=soon)

    monkeypatch.setattr(StagedTransport, "_end_if_over", ends)


def _packs_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait until the chunk before in the same half is sent, only until it is posted."""

    def may_pack(self: Any) -> bool:
        return not self.stopped and self.packed < min(self.chunks, self.posted + 2)

    monkeypatch.setattr(Sending, "may_pack", may_pack)


def _unpacks_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a chunk that is expected for one that has landed."""
    before = StagedTransport._receive

    def receives(self: Any, found: Any) -> None:
        found.landed |= found.open
        before(self, found)

    monkeypatch.setattr(StagedTransport, "_receive", receives)


def _unpacks_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two chunks change places as they are unpacked."""
    before = Receiving.blocks

    def blocks(self: Any, chunk: int) -> range:
        other = chunk ^ 1
        return before(self, other if other < self.chunks else chunk)

    monkeypatch.setattr(Receiving, "blocks", blocks)


def _posts_what_is_not_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait until its receiver has unpacked."""
    before = StagedTransport._send

    def sends(self: Any, found: Any) -> None:
        found.allowed = found.chunks
        before(self, found)

    monkeypatch.setattr(StagedTransport, "_send", sends)


def _posts_what_is_not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It posts a chunk before a single byte of it is in the slot."""
    monkeypatch.setattr(
        "adpkv.memory.virtual_staging.LedgerStaging.pack", lambda *_: PASSED, raising=True
    )


def _says_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver's transfer is over when its first chunk has landed."""
    monkeypatch.setattr(Receiving, "done", property(lambda self: bool(self.landed)))


def _frees_without_telling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rank frees the blocks of a request, and does not say that they are written no more."""

    def free(self: Any, request: Any, _: Any) -> None:
        if request.session is not None and request.lease is not None:
            self.leases.take_back(request)
            request.lease = None

    monkeypatch.setattr(Serving, "_free_blocks", free)


MUTANTS = [
    (_never_retires, {"write_after_free", "read_after_free"}),
    (_ends_without_proof, {"freed_in_doubt"}),
    (_packs_too_early, {"freed_in_doubt"}),
    (_unpacks_too_early, {"freed_in_doubt"}),
    (_unpacks_in_any_order, {"wrong_kv"}),
    (_posts_what_is_not_expected, {"write_after_free"}),
    (_posts_what_is_not_packed, {"wrong_kv"}),
    (_says_done_at_once, {"wrong_kv"}),
    (_frees_without_telling, {"freed_in_doubt"}),
]


@pytest.mark.parametrize(
    ("mutate", "expected"), MUTANTS, ids=lambda one: getattr(one, "__name__", "")
)
def test_an_oracle_finds(
    mutate: Callable[[pytest.MonkeyPatch], None],
    expected: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutate(monkeypatch)
    found = kinds(run(data()))
    assert expected <= found


def test_nothing_is_found_without_a_mistake() -> None:
    ran = run(data())
    assert kinds(ran) == set()
    cancelled = ran.summary["requests"]["cancelled"]
    in_flight = sum(event[2] is State.QUARANTINED for event in ran.events)
    assert cancelled > 10
    assert in_flight > 10, "the mutants need transfers that are cut off in the middle"
