"""Without ADP the ranks of an instance stay equal in all that the forward step is made of;
and every run of every seed keeps the contract."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from adpkv.core.ownership import Replica
from adpkv.core.plan import Plan
from adpkv.errors import CollectiveMismatchError
from adpkv.executor.phases import Phases
from adpkv.worlds.assemble import build_rank
from tests.worlds.virtual.experiments import replay, replicated
from tests.worlds.virtual.running import Ran, examine, run

SEEDS_PER_TEST = 20


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
        now = (held, waiting, list(pool._free), list(pool._idle), list(pool._index))
        self._seen.setdefault((rank.instance.index, rank.iteration), []).append(repr(now))
        return await super().sync()


def watched(data: dict[str, Any], **kinds: Any) -> tuple[Ran, list[str]]:
    """A run in which every rank makes every iteration, and where ranks came to differ."""
    seen: dict[tuple[int, int], list[str]] = {}
    phases = partial(Watched, seen=seen)
    ran = run(data, jump=False, assemble=partial(build_rank, phases=phases, **kinds))
    different = [
        f"instance {instance}, iteration {iteration}: " + " against ".join(dict.fromkeys(now))
        for (instance, iteration), now in seen.items()
        if len(set(now)) > 1
    ]
    return ran, different[:1]


@pytest.mark.parametrize("first", range(0, 300, SEEDS_PER_TEST))
def test_random_experiments(first: int) -> None:
    wrong = {}
    for seed in range(first, first + SEEDS_PER_TEST):
        found = examine(replicated(seed), eager=seed % 4 == 0) or watched(replicated(seed))[1]
        if found:
            wrong[replay(seed)] = found
    assert not wrong


class Hasty(Replica):
    """Gives blocks back as soon as they are quiescent here."""

    def lets_go(self, request_id: int, quiescent: bool) -> bool:
        return quiescent


def test_ranks_that_differ_are_seen() -> None:
    """The watch above fires: in some seeds one rank's blocks are quiescent before another's."""
    different = []
    for seed in range(30):
        try:
            different += watched(replicated(seed), replica=Hasty)[1]
        except (CollectiveMismatchError, KeyError) as error:
            different.append(str(error))
    assert different
