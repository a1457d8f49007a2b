"""Without ADP the ranks of an instance stay equal in all that the forward step is made of;
and every run of every seed keeps the contract."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from adpkv.core.ownership import SoleOwner
from adpkv.core.plan import Plan
from adpkv.errors import AdpkvError
from adpkv.executor.loop import RankProgram
from adpkv.executor.phases import Phases
from adpkv.worlds.assemble import build_rank
from tests.worlds.virtual.experiments import replay, replicated
from tests.worlds.virtual.running import examine, run
from tests.worlds.virtual.seeds import batch, batches


class Watched(Phases):
    """Notes at each sync what must be the same on all ranks of the group by then."""

    def __init__(self, *parts: Any, seen: dict[tuple[int, int], list[Any]]) -> None:
        super().__init__(*parts)
        self._seen = seen

    async def sync(self) -> Plan:
        rank = self.rank
        serving, pool = rank.serving, rank.serving.pool
        held = [
            (
                r.spec.request_id,
                r.state,
                r.computed,
                r.finish_step,
                r.lease.blocks if r.lease is not None and r.lease.open else None,
            )
            for r in serving.requests.values()
        ]
        waiting = [r.spec.request_id for r in serving.waiting]
        now = (held, waiting, *pool.order())
        self._seen.setdefault((rank.instance.index, rank.iteration), []).append(repr(now))
        return await super().sync()


def watched(data: dict[str, Any], assemble: Callable[..., RankProgram] = build_rank) -> list[str]:
    """Where ranks came to differ in a run in which every rank makes every iteration."""
    seen: dict[tuple[int, int], list[str]] = {}
    run(data, jump=False, assemble=partial(assemble, phases=partial(Watched, seen=seen)))
    different = [
        f"instance {instance}, iteration {iteration}: " + " against ".join(dict.fromkeys(now))
        for (instance, iteration), now in seen.items()
        if len(set(now)) > 1
    ]
    return different[:1]


@pytest.mark.parametrize("first", [*batches(0, 300), *batches(400, 480)])
def test_random_experiments(first: int) -> None:
    wrong = {}
    for seed in batch(first):
        found = examine(replicated(seed), eager=seed % 4 == 0) or watched(replicated(seed))
        if found:
            wrong[replay(seed)] = found
    assert not wrong


def hasty(*job: Any, **ports: Any) -> RankProgram:
    """Blocks are given back as soon as they are quiescent here."""
    program = build_rank(*job, **ports)
    owner: Any = program.phases.rank.serving.owner
    owner.may_free = SoleOwner().may_free
    return program


def test_ranks_that_differ_are_seen() -> None:
    """The watch above fires: in some seeds one rank's blocks are quiescent before another's."""
    found = []
    for seed in range(60):
        try:
            found += watched(replicated(seed), hasty)
        except AdpkvError as error:
            found.append(str(error))
    assert any("against" in text for text in found), "here, before anything follows from it"
    parted = ("has no such", " is in step at ")
    late = [text for text in found if "against" not in text]
    assert any(part in text for text in late for part in parted), (
        "or at the step, or in what is done"
    )
