"""A rank's status: what of it an unchanged plan depends on."""

from __future__ import annotations

from adpkv.core.rank_status import RankStatus

DEPENDS = {"work", "able", "stop", "votes", "trust", "illness", "closing"}
"""Each is shown to differ in `test_plan`."""
FOR_REQUESTS = {
    "tokens", "requests", "running", "blocks", "seats", "slots", "peers", "turn", "cached",
    "doubted", "expired", "owed",
}  # fmt: skip
"""Asked where requests wait or are asked for, or, of the leader, by itself."""
FOR_THE_END = {"drained", "overdue"}
TOLD = {"in_transfer", "quarantined", "reasons", "reused"}
"""For metrics and people."""


def test_of_each_field_it_was_decided_whether_a_plan_depends_on_it() -> None:
    """A new one has to be in one of these, and in `RankStatus.differs` if it is in the first."""
    kinds = [DEPENDS, FOR_REQUESTS, FOR_THE_END, TOLD]
    assert sorted(field for kind in kinds for field in kind) == sorted(RankStatus.__struct_fields__)
