"""Experiments without ADP, in which one rank of the generation group sees what the other does not;
and the historical policy to compare with."""

from __future__ import annotations

from typing import Any

from adpkv.executor.loop import RankProgram
from adpkv.field_policies.ends import ActsAlone
from adpkv.worlds.assemble import Parts, build_rank
from tests.scenarios.script import arrival, setting

__all__ = ["GROUP", "R0", "R1", "SKEWED", "late", "replicas", "skewed", "unreduced"]

GROUP = R0, R1 = 2, 3
"""World ranks of the generation group; context ranks are 0 and 1."""


def replicas(name: str, *faults: dict[str, Any], **sections: Any) -> dict[str, Any]:
    data = setting(name, 2, 2, faults=list(faults), **sections)
    data["topology"]["attention"] = "replicated"
    return data


def late(rank: int, duration: str, request: int = 1) -> dict[str, Any]:
    """This rank sees the end of its shard that late."""
    return {
        "kind": "delay",
        "phase": "expect",
        "ranks": [rank],
        "requests": [request],
        "duration": duration,
    }


def skewed(completes: int, too_late: int) -> dict[str, Any]:
    """r0 decodes all the while. Of r1, one rank's shard is complete just before its deadline of
    100 ms, the other's is not: both notice after the same step. The deadline runs from the sender's
    word that it began, which is heard a step of 5 ms after the advertise."""
    deadline = {"transfer_timeout": "100ms"}
    faults = late(completes, "104ms"), late(too_late, "500ms")
    return replicas("skewed", *faults, transceiver=deadline)


SKEWED = [arrival(0, 32, 60), arrival(10, 32, 8)]


def unreduced(*job: Any, **ports: Any) -> RankProgram:
    """`build_rank`, but each rank acts on its own results at once, as the field did."""
    return build_rank(*job, parts=Parts(replica=ActsAlone), **ports)
