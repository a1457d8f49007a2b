"""A receiver in doubt is answered whenever it asks: after its request has had another attempt at
the same sender, and after everything else is over."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv.core.session import Event
from tests.scenarios.story import MS, Told, arrival, setting, tell

SENDER, RECEIVER = 0, 2
"""World ranks where one prefills and two decode. Request 0 goes to the other one, so request 1
goes here."""

ASKS = {"transfer_timeout": "100ms", "progress_deadline": "400ms"}
"""Who is in doubt asks every 100 ms."""


def lose(phase: str, rank: int, count: int) -> dict[str, Any]:
    return {"kind": "lose", "phase": phase, "ranks": [rank], "requests": [1], "count": count}


def asked(told: Told, receiver: int = RECEIVER) -> list[int]:
    """When the receiver's session asked."""
    return [e[0] for e in told.events(1, receiver) if e[4].get("cause") == Event.ASK]


@pytest.mark.parametrize("elsewhere", [True, False])
def test_an_answer_about_an_earlier_attempt_outlives_the_next_one(elsewhere: bool) -> None:
    """The address is lost, then the connection: the request is computed again by the same sender.
    Its next life completes elsewhere, before the receiver asks about the former for the first time;
    or where the former is in doubt, once the answer has ended that: there is no other rank."""
    receiver = RECEIVER if elsewhere else 1
    data = setting(
        "former-life",
        1,
        2 if elsewhere else 1,
        transceiver=ASKS,
        on_rank_failure="shrink",
        recompute=True,
        faults=[
            lose("advertise", receiver, 1),
            {"kind": "restart", "ranks": [receiver], "after": "30ms", "duration": "5ms"},
        ],
    )
    busy = [arrival(20, 32, 300)] if elsewhere else []
    told = tell(data, [arrival(0, 32, 100), arrival(10, 32, 2), *busy])
    assert told.outcomes[1] == "completed"
    assert told.record(1).generation_rank == (1 if elsewhere else receiver)
    assert told.record(1).recomputed == 1
    first_ns = asked(told, receiver)[0]
    assert (told.record(1).ended_ns < first_ns) == elsewhere
    assert told.at_ns("released", 1, receiver) - first_ns < 20 * MS, "at the first answer"


@pytest.mark.parametrize("lost", [1, 3])
def test_senders_stay_until_nobody_asks_any_more(lost: int) -> None:
    """All is answered and the job ends, but one receiver has heard nothing of its sender's end."""
    data = setting(
        "last-answer",
        1,
        2,
        executor={"drain_timeout": "2s"},
        transceiver=ASKS,
        faults=[lose("advertise", RECEIVER, 2), lose("never_started", SENDER, lost)],
    )
    told = tell(data, [arrival(0, 32, 9), arrival(10, 32, 2)])
    assert told.outcomes == ["completed", "timed_out"]
    assert told.summary["outcome"] == "completed"
    stops_ns = told.at_ns("stopping", -1, SENDER)
    assert len(asked(told)) == lost
    assert stops_ns < asked(told)[0] < told.at_ns("released", 1, RECEIVER)
