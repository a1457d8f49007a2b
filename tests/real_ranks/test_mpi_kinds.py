"""Each way in which real ranks can get stuck is named right, with proof, by one of them.

Of the ten kinds, only the zero-time livelock cannot exist: real time always moves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

CASES = {
    # case: (kind, the odd ranks, a part of the diagnosis)
    "pauses": ("missing participant", [2], "it waits alone in poll at status"),
    "loops": ("missing participant", [2], "it is on its way, last seen in tp_broadcast"),
    "holds": ("missing participant", [2], "it is on its way, last seen in tp_broadcast"),
    "stops": ("missing participant", [2], "its process is stopped"),
    "gathers": ("wrong operation", [2], "rank 2 is in tp_gather"),
    "polls": ("crossed payload", [2], "each would take the other's payload"),
    "disagrees": ("argument mismatch", [2], "brings the plan"),
    "batches": ("argument mismatch", [2], "the batch 1 sequences over 14 tokens"),
    "leaves": ("early exit", [2], "rank 2 has left the group"),
    "joins_the_world": ("order inversion", [2], "world_allgather #1 at barrier of the whole job"),
    "takes_the_world_for_its_group": ("wrong group", [2], "of the whole job"),
    "waits": (
        "lost wake-up",
        [1, 2, 3],
        "wait for input in poll at status, and none has come",
    ),
    "wedges": ("symmetric wedge", [], "all of generation-1 (ranks 1-3) are in step"),
}


CAMPAIGN = ("loops", "holds", "batches", "takes_the_world_for_its_group")
"""Each of a kind that another case has too."""


@pytest.mark.parametrize(
    "case",
    [pytest.param(one, marks=pytest.mark.campaign if one in CAMPAIGN else ()) for one in CASES],
)
def test_it_is_named_right(program: Any, tmp_path: Path, case: str) -> None:
    kind, odd, part = CASES[case]
    found = program("kinds", 4, case, str(tmp_path), timeout_s=60)
    assert found.code == 3, found.err
    assert found.err.count("who is where") == 1, "one speaks for all"
    assert f"adpkv: {kind} in generation-1" in found.err
    said = json.loads((tmp_path / "out" / "deadlock.json").read_text())
    assert said["kind"] == kind
    assert said["outliers"] == odd
    assert part in said["diagnosis"]
    assert said["world"] == "mpi"
    stacks = {rank: c["stack"] for c in said["classes"] for rank in c["ranks"]}
    assert all(stacks[rank] for rank in (1, 2, 3) if (case, rank) != ("stops", 2)), stacks
    assert not list(Path("/dev/shm").glob(f"adpkv-*/*{tmp_path.name}*"))
