"""Which instance is out from when to when, as the coordinator's clock goes on meanwhile."""

from __future__ import annotations

from itertools import count

from executor_parts import Notes, Post

from adpkv.core.ids import NEVER
from adpkv.core.illness import Illness
from adpkv.core.stop import StopReason
from adpkv.core.topology import Topology
from adpkv.executor.instances import Instances
from adpkv.executor.messages import Condition
from adpkv.executor.outages import Elasticity, Outages

TOPOLOGY = Topology.of_sizes([1], [1, 1])
STUCK = StopReason(75, "unhealthy: no_progress")


def rig(hearing_ns: int = 0) -> Outages:
    ticks = count(100)
    instances = Instances(TOPOLOGY, Post(), Notes())
    elasticity = Elasticity(drain_timeout_ns=50, drains=True, hearing_ns=hearing_ns)
    return Outages(TOPOLOGY, instances, Notes(), lambda: next(ticks), elasticity)


def test_what_is_drained_was_taken_out_before() -> None:
    """The instant at which the coordinator looked is a little before it takes an instance out."""
    outages = rig()
    outages.note_condition(Condition(2, Illness(STUCK, (0,))))
    now_ns = outages.next_ns()
    assert now_ns == outages.quiet_until_ns
    assert outages.judge(now_ns) is None
    assert outages.quiet_until_ns == 0, "something is out"
    assert outages.due(now_ns) == []
    [outage] = outages.every
    assert now_ns < outage.from_ns == outage.drained_ns


def test_both_ends_are_heard_before_one_is_blamed() -> None:
    outages = rig(hearing_ns=1_000)
    outages.note_condition(Condition(0, Illness(STUCK, (1,))))
    heard_ns = outages.next_ns()
    assert outages.judge(heard_ns - 1) is None
    assert outages.every == []
    outages.note_condition(Condition(2, Illness(STUCK, (0,))))
    assert outages.next_ns() == heard_ns, "the first word counts"
    assert outages.judge(heard_ns) == STUCK, "stuck with both, and nobody can replace it"
    outages.note_condition(Condition(0, None))
    outages.note_condition(Condition(2, None))
    assert outages.next_ns() == outages.quiet_until_ns == NEVER, "nobody is ill any more"
