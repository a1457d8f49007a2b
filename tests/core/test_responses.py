"""Responses leave in the order in which they were staged, and once."""

from __future__ import annotations

from adpkv.core.responses import ResponseBuffer
from adpkv.core.values import Outcome, Response


def test_staged_responses_leave_once_and_in_order() -> None:
    buffer = ResponseBuffer()
    said = [Response(i, 0, Outcome.FAILED, 0) for i in (3, 1, 2)]
    for response in said:
        buffer.stage(response)
    assert len(buffer) == 3
    assert buffer.take() == tuple(said)
    assert len(buffer) == 0
    assert buffer.take() == ()
