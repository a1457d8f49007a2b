"""Clients as they are: deadlines, a second try, one id twice, and more than may wait."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from adpkv.core.ids import LAST_NS, NEVER
from adpkv.core.values import Outcome
from adpkv.executor.clients import Clients, Manners
from adpkv.workload.port import Arrival
from tests.scenarios.story import Script, Told, setting, tell


def story(
    *requests: dict[str, Any], context: int = 1, in_doubt: Sequence[int] = (), **more: Any
) -> Told:
    workload = {"kind": "script", "requests": [*requests]} | more.pop("workload", {})
    return tell(setting("clients", context, 1, workload=workload, **more), in_doubt=in_doubt)


def request(at: str, output: int = 4, **more: Any) -> dict[str, Any]:
    return {"at": at, "prompt_tokens": 64, "output_tokens": output} | more


def test_a_client_gives_up_at_its_deadline_and_its_request_is_timed_out() -> None:
    told = story(
        request("0s", 100),
        request("0s", 100, deadline="100ms"),
        request("0s", 100, deadline="2s"),
        workload={"deadline": "300ms"},
        kv_cache={"block_tokens": 16, "blocks": 256, "reuse": False},
    )
    assert told.outcomes == ["timed_out", "timed_out", "completed"]
    assert {told.record(i).detail for i in (0, 1)} == {"its client's deadline has passed"}
    late_ms = [(told.record(i).ended_ns - told.record(i).arrival_ns) / 1e6 for i in (0, 1)]
    assert 300 <= late_ms[0] < 320, "the workload's"
    assert 100 <= late_ms[1] < 120, "its own comes first"


@pytest.mark.parametrize(
    ("cancel", "deadline", "outcomes"),
    [
        ("2ms", "3ms", ["cancelled"]),
        ("3ms", "2ms", ["timed_out"] * 2),
        ("2ms", "2ms", ["cancelled"]),
    ],
)
def test_of_a_cancel_and_a_deadline_the_first_counts(
    cancel: str, deadline: str, outcomes: list[str]
) -> None:
    """Both come during one prefill. Only who has not cancelled tries again."""
    told = story(
        request("0s", cancel=cancel, deadline=deadline) | {"prompt_tokens": 2000},
        workload={"retry": {"attempts": 2, "pause": "0s"}},
        kv_cache={"block_tokens": 16, "blocks": 256, "reuse": False},
    )
    assert told.outcomes == outcomes


@pytest.mark.parametrize(("gave_up", "again"), [(False, 0), (True, 1)])
def test_who_has_cancelled_does_not_try_again_whatever_the_end_was(
    gave_up: bool, again: int
) -> None:
    clients = Clients(Script([Arrival(0, 64, 4)]), Manners(attempts=2))
    clients.begin()
    sent = clients.take()
    sent.cancelled_ns, sent.gave_up = 1, gave_up
    clients.ended(2, sent, Outcome.FAILED)
    assert (clients.arrival_ns <= 2) == again


def test_after_the_close_nobody_comes_but_who_is_there_may_still_cancel() -> None:
    clients = Clients(Script([Arrival(0, 64, 4, cancel_ns=5), Arrival(3, 64, 4)]), Manners())
    assert clients.next_ns == NEVER, "not begun"
    clients.begin()
    sent = clients.take()
    assert (clients.arrival_ns, clients.next_ns) == (3, 3)
    clients.close()
    assert (clients.arrival_ns, clients.next_ns) == (NEVER, 5)
    assert clients.wishes(5) == [(sent.request_id, False)]
    assert clients.next_ns == NEVER


def test_who_would_wait_until_after_the_longest_run_tries_no_more() -> None:
    clients = Clients(Script([Arrival(0, 64, 4)]), Manners(attempts=999, pause_ns=LAST_NS // 9))
    clients.begin()
    tries = []
    while clients.next_ns <= LAST_NS:
        tries.append(clients.next_ns)
        clients.ended(tries[-1], clients.take(), Outcome.FAILED)
    assert [at_ns * 9 // LAST_NS for at_ns in tries] == [0, 1, 3, 7]
    assert (clients.submitted, clients.retries_due) == (4, 0)


def test_a_client_tries_again_with_growing_pauses_until_it_is_served() -> None:
    """All transfers of the first 300 ms fail: those of the first two tries."""
    told = story(
        request("0s"),
        workload={"retry": {"attempts": 4, "pause": "200ms"}},
        faults=[{"kind": "refuse_registration", "before": "300ms"}],
    )
    assert told.outcomes == ["failed", "failed", "completed"]
    assert [told.record(i).retry_of for i in range(3)] == [-1, 0, 0]
    ends = [told.record(i).ended_ns for i in range(3)]
    pauses = [told.record(i + 1).arrival_ns - ends[i] for i in range(2)]
    assert pauses == [200_000_000, 400_000_000]
    requests = told.summary["requests"]
    assert (requests["submitted"], requests["failed"], requests["never_arrived"]) == (3, 2, 0)


def test_who_would_have_tried_again_has_arrived_before() -> None:
    """The job ends as unhealthy while its clients pause."""
    told = story(
        request("0s", times=3),
        workload={"retry": {"attempts": 3, "pause": "60s"}},
        transceiver={"transfer_timeout": "100ms", "progress_deadline": "200ms"},
        faults=[{"kind": "stall"}],
        in_doubt=[0, 1],
    )
    assert told.outcomes == ["timed_out"] * 3
    assert (told.summary["requests"]["never_arrived"], told.summary["exit_code"]) == (0, 75)


def test_a_client_tries_no_more_than_it_wants_to() -> None:
    told = story(
        request("0s"),
        workload={"retry": {"attempts": 3, "pause": "10ms"}},
        faults=[{"kind": "refuse_registration"}],
    )
    assert told.outcomes == ["failed"] * 3


def test_the_user_of_a_closed_loop_goes_on_when_it_tries_no_more() -> None:
    """Two requests of one user, each tried twice: never two at a time."""
    told = tell(
        setting(
            "user",
            1,
            1,
            workload={
                "kind": "closed_loop",
                "users": 1,
                "requests": 2,
                "prompt_tokens": {"min": 64, "max": 64},
                "output_tokens": {"min": 4, "max": 4},
                "retry": {"attempts": 2, "pause": "50ms"},
            },
            faults=[{"kind": "refuse_registration"}],
        )
    )
    assert [told.record(i).retry_of for i in range(4)] == [-1, 0, -1, 2]
    times = [(told.record(i).arrival_ns, told.record(i).ended_ns) for i in range(4)]
    assert all(later[0] >= earlier[1] for earlier, later in pairwise(times))


def test_an_id_that_is_in_use_is_refused_and_free_again_after_the_answer() -> None:
    told = story(
        request("0s", 40, id="a"),
        request("10ms", id="a"),
        request("10ms", id="b"),
        request("1s", id="a"),
    )
    assert told.outcomes == ["completed", "refused", "completed", "completed"]
    refused = told.record(1)
    assert refused.detail == "its client id is that of request 0, which is open"
    assert (refused.client_id, refused.ended_ns) == ("a", refused.arrival_ns), "at once"


def test_what_is_more_than_may_wait_is_refused_at_once_and_counted_apart() -> None:
    told = story(request("0s", times=5), request("1s"), admission={"requests": 2})
    assert told.outcomes == ["completed"] * 2 + ["refused"] * 3 + ["completed"]
    assert {told.record(i).detail for i in (2, 3, 4)} == {"2 requests wait for their first token"}
    requests = told.summary["requests"]
    assert (requests["completed"], requests["refused"], requests["failed"]) == (3, 3, 0)
    assert sum(requests[key] for key in ("completed", "refused")) == requests["submitted"]
    assert (told.summary["rates"]["error_rate"], told.summary["exit_code"]) == (0.0, 0)
    assert told.record(2).generation_instance == told.record(2).context_instance == -1


def test_the_limit_in_tokens_lets_one_wait_however_long_it_is() -> None:
    told = story(request("0s", times=3), request("1s"), admission={"tokens": 100})
    assert told.outcomes == ["completed", "refused", "refused", "completed"]
    alone = story(request("0s"), request("1s"), admission={"tokens": 1})
    assert alone.outcomes == ["completed"] * 2


def test_who_is_refused_may_try_again() -> None:
    told = story(
        request("0s", times=3),
        admission={"requests": 1},
        workload={"retry": {"attempts": 2, "pause": "500ms"}},
    )
    assert told.outcomes == ["completed", "refused", "refused", "completed", "refused"]
