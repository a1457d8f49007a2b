"""Messages that does not fit into one broadcast: the group must not wait while its leader has
more."""

from __future__ import annotations

import pytest

from adpkv.executor import leader
from tests.scenarios.story import MS, Script, arrival, setting
from tests.worlds.virtual.running import run


@pytest.mark.parametrize("jump", [True, False])
def test_a_burst_is_passed_on_at_once(monkeypatch: pytest.MonkeyPatch, jump: bool) -> None:
    monkeypatch.setattr(leader, "BROADCAST_IDS", 1)  # one message at a time
    data = setting("burst", 4, 1, executor={"idle_wait": "500ms", "max_batch_size": 16})
    ran = run(data, jump=jump, workload=Script([arrival(3, 9000, 1) for _ in range(8)]))
    assert {record.outcome for record in ran.records} == {"failed"}, (
        "too long for any rank: no step keeps the group going"
    )
    assert max(record.ended_ns for record in ran.records) < 200 * MS
