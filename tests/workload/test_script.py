"""Requests that were written down come when and as they were written down."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv import config
from adpkv.core.ids import LAST_NS, NEVER
from adpkv.workload import Arrival, Workload, build
from adpkv.workload.script import Script, Scripted

MS = 1_000_000
ONE = {"at": "0s", "prompt_tokens": 16, "output_tokens": 2}


def scripted(*requests: dict[str, Any]) -> Workload:
    data = {
        "name": "x",
        "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
        "workload": {"kind": "script", "requests": list(requests)},
    }
    return build(config.parse(data, "test"))


def taken(workload: Workload) -> list[Arrival]:
    found = []
    while workload.due_ns() < NEVER:
        due_ns = workload.due_ns()
        found.append(workload.take())
        assert found[-1].at_ns == due_ns
        workload.ended(due_ns, 0)
    return found


def test_a_request_has_all_that_was_written() -> None:
    workload = scripted({**ONE, "at": "5ms", "wanted": 1, "cancel": "0s"})
    assert taken(workload) == [Arrival(5 * MS, 16, 2, (), 0, 1)]


def test_what_is_left_out_is_nobodys_wish() -> None:
    (only,) = taken(scripted(ONE))
    assert (only.cancel_ns, only.wanted, only.block_hashes) == (-1, None, ())


def test_several_alike_come_apart() -> None:
    workload = scripted({**ONE, "at": "1ms", "times": 3, "every": "2ms"})
    assert workload.total == 3
    assert [one.at_ns for one in taken(workload)] == [1 * MS, 3 * MS, 5 * MS]


def test_requests_come_in_order_of_time_then_of_the_file() -> None:
    workload = scripted(
        {**ONE, "at": "2ms", "prompt_tokens": 1},
        {**ONE, "at": "0s", "prompt_tokens": 2, "times": 3, "every": "1ms"},
        {**ONE, "at": "2ms", "prompt_tokens": 3},
    )
    assert [one.prompt_tokens for one in taken(workload)] == [2, 2, 1, 2, 3]


def test_nothing_is_left_when_all_were_taken() -> None:
    workload = scripted(ONE)
    workload.take()
    with pytest.raises(IndexError, match="all 1 requests were taken"):
        workload.take()


def test_many_alike_are_made_as_they_are_taken() -> None:
    workload = Script([Scripted(Arrival(0, 1, 1), times=1 << 30, every_ns=1 << 40)])
    assert workload.total == 1 << 30
    assert [workload.take().at_ns for _ in range(2)] == [0, 1 << 40]


def test_the_far_future_is_not_never() -> None:
    workload = Script([Scripted(Arrival(0, 1, 1), times=2, every_ns=NEVER)])
    workload.take()
    assert workload.due_ns() == LAST_NS < NEVER
