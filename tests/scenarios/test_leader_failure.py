"""A leader that fails while its job ends costs the others the time to notice, and nothing more."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv.executor.collectives import Gone
from adpkv.executor.phases import Phases
from adpkv.field_policies import assembly
from tests.scenarios.story import MS, Script, arrival, setting
from tests.worlds.virtual.running import Ran, run

LEADER, NOTICE_NS = 4, 50 * MS


def tell(policy: str, phase: str, came_before: int) -> tuple[Ran, list[int]]:
    """All is answered, then the leader is killed in a phase, as it comes there once more than so
    often while it drains; what came of it, and when that was."""
    died: list[int] = []
    former = getattr(Phases, phase)

    class Dying(Phases):
        came = 0

        def is_quiet(self) -> bool:
            return False

    async def dying(self: Any) -> Any:
        rank = self.rank
        if rank.rank == LEADER and rank.plan.stop is not None:
            self.came += 1
            if self.came > came_before:
                died.append(rank.ports.clock())
                await Gone(self._group, "killed", phase, rank.iteration, rank.plan)
        return await former(self)

    setattr(Dying, phase, dying)

    def assemble(*args: Any, **ports: Any) -> Any:
        return assembly(args[0])(*args, phases=Dying, **ports)

    ran = run(
        setting("led", 4, 4, on_rank_failure=policy, executor={"drain_timeout": "200ms"}),
        jump=False,
        workload=Script([arrival(30 * i, 32, 4 + i % 9, wanted=i % 4) for i in range(9)]),
        assemble=assemble,
        most_events=99_999,
    )
    return ran, died


AGAIN_US = {"shutdown": 320, "shrink": 340}


@pytest.mark.parametrize(
    ("phase", "came_before", "more_us"),
    [("wait", 0, 0), ("intake", 0, 0), ("sync", 0, 0), ("flush", 0, AGAIN_US), ("flush", 1, 0)],
    ids=["wait", "intake", "sync", "flush", "last-flush"],
)
@pytest.mark.parametrize(("policy", "code"), [("shutdown", 5), ("shrink", 0)])
def test_15_a_leader_fails_as_the_job_ends(
    policy: str, code: int, phase: str, came_before: int, more_us: Any
) -> None:
    """The coordinator has said its last word, to every rank: in the first two phases, that to the
    leader lies unread in its mailbox."""
    ran, (failed_ns,) = tell(policy, phase, came_before)
    assert ran.exit_code == code
    assert ran.summary["violations"] == []
    assert len(ran.records) == 9
    assert sorted(report.rank for report in ran.reports) == [0, 1, 2, 3, 5, 6, 7]
    # Before its first flush nobody has said that the group has stopped. Then the coordinator
    # repeats its stop, the group says that it is drained, and there is the release: each 50 us and
    # what is left of an iteration.
    more_ns = (more_us[policy] if more_us else 0) * 1000
    assert ran.job.world.queue.now - failed_ns == NOTICE_NS + more_ns


@pytest.mark.parametrize("jump", [True, False])
def test_15_who_waits_for_a_rank_as_its_leader_fails_has_waited_all_along(jump: bool) -> None:
    """Where its time went, and the limit of its wait, which begins only once."""
    data = setting(
        "successor",
        1,
        3,
        on_rank_failure="shrink",
        executor={
            "max_batch_size": 1,
            "max_requests_per_rank": 1,
            "drain_timeout": "200ms",
        },
        transceiver={"wait_timeout": "900ms"},
        faults=[{"kind": "sigkill", "ranks": [1], "after": "400ms"}],
    )
    ran = run(data, jump=jump, workload=Script([arrival(0, 16, 60) for _ in range(12)]))
    assert ran.exit_code == 0
    records = [record for record in ran.records if record.outcome != "failed"]
    late = [record for record in records if record.outcome == "timed_out"]
    served = [record for record in records if record.outcome == "completed"]
    before = [record for record in served if 0 < record.block_wait_ns < 400 * MS]
    behind = [record for record in served if record.block_wait_ns > 600 * MS]
    assert before, "they had a rank when the leader failed"
    assert behind, "they had one of the successor"
    assert late
    for record in late:
        assert 900 * MS <= record.block_wait_ns < 950 * MS
    for record in records:
        assert record.hand_over_ns < 100 * MS, record
