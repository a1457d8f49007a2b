"""A caller's own workload, model, policy, memory and transport in a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import adpkv
from adpkv.memory.virtual import LedgerMemory
from adpkv.ports import (
    NEVER,
    Arrival,
    Batch,
    EndKind,
    Load,
    MemorySetting,
    Proof,
    RequestSpec,
    Transfer,
    TransportEnd,
    TransportSetting,
)

SMALL = {"workload.requests": 20}


class Burst:
    """So many requests at once."""

    def __init__(self, total: int) -> None:
        self.total, self._taken = total, 0

    def due_ns(self) -> int:
        return 1_000 if self._taken < self.total else NEVER

    def take(self) -> Arrival:
        self._taken += 1
        return Arrival(1_000, 64, 4)

    def ended(self, now_ns: int, number: int) -> None: ...


class OfBefore(Burst):
    """As the port was before sessions."""

    def ended(self, now_ns: int) -> None: ...  # type: ignore[override]


class Constant:
    """Each step takes a millisecond."""

    ticks_per_ns = 1

    def line(self, batch: Batch) -> tuple[int, int]:
        return 1_000_000, 0

    def run(self, batch: Batch) -> None: ...


class LastRank:
    """Fills instances from behind."""

    def choose(
        self, request: RequestSpec, loads: Sequence[Load], room: Sequence[int]
    ) -> int | None:
        return max((rank for rank, free in enumerate(room) if free > 0), default=None)


class Instant:
    """A link on which a transfer takes exactly a millisecond, whatever its length."""

    def __init__(self) -> None:
        self.ends: dict[int, End] = {}

    def __call__(self, setting: TransportSetting) -> End:
        return self.ends.setdefault(setting.rank, End(self, setting))


class End:
    name = "instant"
    proofs = (Proof.BACKEND_DONE,)
    can_withdraw = False

    def __init__(self, link: Instant, setting: TransportSetting) -> None:
        self._link, self._setting = link, setting
        self._over: list[TransportEnd] = []
        self._owners: dict[Any, int] = {}
        self._moved_ns = 0

    def expect(self, transfer: Transfer) -> bool:
        self._owners[transfer.session] = self._setting.memory.awaited(transfer.target)  # type: ignore[attr-defined]
        return True

    def has_failed(self, rank: int) -> bool:
        return self._setting.has_failed(rank)

    def post(self, transfer: Transfer) -> None:
        receiver = self._link.ends[transfer.receiver]

        def land() -> None:
            owner = receiver._owners.pop(transfer.session)
            receiver._setting.memory.land(owner, transfer.target, whole=True)  # type: ignore[attr-defined]
            for end in (self, receiver):
                end._over.append(TransportEnd(transfer.session, EndKind.DONE, transfer.nbytes, 1))
                end._moved_ns = self._setting.now_ns()
                end._setting.wake(end._setting.rank)

        self._setting.later(self._setting.now_ns() + 1_000_000, land)

    def withdraw(self, session: Any) -> None: ...

    def peer_ended(self, session: Any, pieces: int) -> None: ...

    def poll(self) -> list[TransportEnd]:
        over, self._over = self._over, []
        return over

    def ready(self) -> bool:
        return bool(self._over)

    def last_moved_ns(self) -> int:
        return self._moved_ns

    def close(self) -> None: ...


def test_a_workload(tmp_path: Path) -> None:
    found = adpkv.simulate("quickstart", workload=Burst(12))
    assert found.summary.requests.completed == 12
    assert {one.arrival_ns for one in found.requests} == {1_000}
    made = adpkv.simulate("quickstart", workload=lambda experiment: Burst(experiment.seed))
    assert len(made.requests) == 1
    written = adpkv.simulate("quickstart", workload=Burst(12), out=tmp_path / "out")
    assert written.requests == found.requests


@pytest.mark.parametrize("jump", [True, False])
def test_a_workload_without_requests_is_a_run_that_is_over(jump: bool) -> None:
    """Nobody is ever told of an answer: it had counted as ranks that are stuck."""
    found = adpkv.simulate("quickstart", workload=Burst(0), jump=jump)
    assert (found.exit_code, len(found.requests), found.violations) == (0, 0, ())


@pytest.mark.parametrize("jump", [True, False])
def test_a_model(jump: bool) -> None:
    found = adpkv.simulate("quickstart", set=SMALL, model=Constant(), jump=jump)
    itl_s = found.summary.latency.itl_s.p50
    assert itl_s is not None
    assert 0.001 < itl_s < 0.0012


def test_a_policy() -> None:
    found = adpkv.simulate("quickstart", set=SMALL, policy=LastRank())
    assert {one.context_rank for one in found.requests} == {3}
    assert {one.generation_rank for one in found.requests} == {7}
    ours = adpkv.simulate("quickstart", workload=Burst(12))
    assert {one.context_rank for one in ours.requests} == {0, 1, 2, 3}


def test_a_memory() -> None:
    made: dict[int, LedgerMemory] = {}

    def ledger(setting: MemorySetting) -> LedgerMemory:
        sizes = (setting.blocks, setting.block_tokens, setting.block_bytes)
        return made.setdefault(setting.rank, LedgerMemory(*sizes, setting.report))

    found = adpkv.simulate("quickstart", set=SMALL, memory=ledger)
    assert found.outcome == "completed"
    assert sorted(made) == list(range(8))

    def forgetful(setting: MemorySetting) -> LedgerMemory:
        memory = ledger(setting)
        memory.verify = lambda *_: bool(setting.report("wrong_kv", "planted", ()))  # type: ignore[method-assign]
        return memory

    made.clear()
    assert adpkv.simulate("quickstart", set=SMALL, memory=forgetful).outcome == "violation"


@pytest.mark.parametrize("jump", [True, False])
def test_a_transport(jump: bool) -> None:
    found = adpkv.simulate("quickstart", set=SMALL, transport=Instant(), jump=jump)
    assert found.outcome == "completed"
    assert found.summary.transfers.completed == 20
    ours = adpkv.simulate("quickstart", set=SMALL)
    assert found.summary.latency.kv_transfer_s != ours.summary.latency.kv_transfer_s


def test_a_lie_of_a_transport_is_seen_by_the_oracles() -> None:
    class Lying(Instant):
        def __call__(self, setting: TransportSetting) -> End:
            end = super().__call__(setting)
            setting.memory.land = lambda *_, **__: None  # type: ignore[attr-defined]
            return end

    found = adpkv.simulate("quickstart", set=SMALL, transport=Lying())
    assert found.outcome == "violation"
    assert {one.kind for one in found.violations} == {"wrong_kv"}


@pytest.mark.parametrize(
    ("brought", "told"),
    [
        (
            {"workload": object()},
            "workload: object is no Workload: it has no due_ns, ended",
        ),
        (
            {"workload": OfBefore(1)},
            r"workload: OfBefore.ended must take \(now_ns, number\): too many positional",
        ),
        ({"model": lambda experiment: 5}, "model: int is no Model: it has no line, run"),
        ({"policy": LastRank}, "policy: cannot be created from an experiment: LastRank"),
        ({"memory": lambda setting: None}, "memory: NoneType is no VirtualMemory"),
        ({"transport": lambda setting: Burst(1)}, "transport: Burst is no Transport"),
        ({"transport": 5}, "transport: int cannot be called to create one"),
    ],
)
def test_what_keeps_no_port_is_said_before_anything_runs(brought: Any, told: str) -> None:
    with pytest.raises(adpkv.UsageError, match=told):
        adpkv.simulate("quickstart", set=SMALL, **brought)


def test_a_policy_that_chooses_nobody_of_the_instance_is_named() -> None:
    class Wrong(LastRank):
        def choose(self, *_: Any) -> int | None:
            return 9

    told = "router.policy: Wrong chose rank 9 of an instance with 4"
    with pytest.raises(adpkv.UsageError, match=told):
        adpkv.simulate("quickstart", set=SMALL, policy=Wrong())


def test_a_policy_that_raises_is_named_with_its_line() -> None:
    class Broken(LastRank):
        def choose(self, *_: Any) -> int | None:
            raise ValueError("no idea")

    line = Broken.choose.__code__.co_firstlineno + 1
    told = rf"router.policy: Broken raised ValueError: no idea \(test_bring_your_own.py:{line}\)"
    with pytest.raises(adpkv.UsageError, match=told):
        adpkv.simulate("quickstart", set=SMALL, policy=Broken())
