"""Every kind of fault in the virtual world: it fires, jumping changes nothing, and what can be
survived is; what lies is seen by exactly the oracle that its lie concerns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from adpkv.config.fault_kinds import KINDS
from adpkv.workload.port import Arrival
from tests.scenarios.story import Script, arrival, setting
from tests.worlds.virtual.running import Ran, differences, problems, run

CONTEXT, GENERATION = (0, 1), (2, 3)
REQUESTS = 30
DOUBT = {"transfer_timeout": "100ms", "wait_timeout": "2s", "progress_deadline": "1s"}
"""A link on which transfers last long enough to be cancelled, lost and timed out."""

SURVIVED: dict[str, list[dict[str, Any]]] = {
    "delay": [{"duration": "30ms", "probability": 0.5}, {"phase": "expect", "duration": "30ms"}],
    "stall": [{"duration": "300ms"}, {"probability": 0.2}, {"phase": "expect", "count": 1}],
    "fail": [{}, {"proven": False, "probability": 0.2}, {"phase": "expect", "probability": 0.3}],
    "slow_link": [{"bandwidth": "4MiB"}, {"bandwidth": "64KiB", "count": 2}],
    "slow_first_contact": [{"duration": "50ms"}, {"duration": "10s", "ranks": [0]}],
    "handle_error": [{"probability": 0.4}, {"phase": "expect", "probability": 0.4}],
    "refuse_registration": [{"probability": 0.3}, {"ranks": [3]}],
    "false_completion": [{"phase": "post", "count": 1}],
    "restart": [
        {"after": "50ms", "duration": "30ms"},
        {"before": "200ms", "count": 3, "duration": "30ms", "ranks": [0]},
        {"before": "200ms", "count": 3, "duration": "1ms", "ranks": [3]},
    ],
    "lose": [{"probability": 0.3}, {"phase": "cancel"}, {"phase": "ended"}, {"phase": "advertise"}],
    "duplicate": [{}, {"phase": "ended"}],
    "late": [{"duration": "20ms"}, {"phase": "began", "duration": "300ms"}],
    "reorder": [{"duration": "20ms"}, {"probability": 0.5, "duration": "200ms"}],
    "former_owner": [{}, {"phase": "advertise"}, {"phase": "cancel"}],
    "sigstop": [
        {"duration": "300ms", "after": "50ms", "ranks": [2]},
        {"duration": "30ms", "before": "400ms", "count": 5},
        *(
            {"duration": "50ms", "after": "20ms", "phase": phase}
            for phase in KINDS["sigstop"].phases
        ),
    ],
    "skew": [{"duration": "300ms", "after": "60ms", "before": "200ms"}, {"duration": "1h"}],
}
LIES: dict[str, set[str]] = {
    # What had not come is not there; when it comes, its blocks are somebody else's.
    "false_completion": {"wrong_kv", "write_after_free"},
    "write_after_cancel": {"write_after_free"},
}


def data(*faults: dict[str, Any], bandwidth: str = "2MiB") -> dict[str, Any]:
    link = {"bandwidth": bandwidth, "latency": "1ms"}
    return setting(
        "kinds", 2, 2, faults=list(faults), transceiver=DOUBT | {"link": link}, executor={
            "drain_timeout": "1s",
        },
    )  # fmt: skip


CANCELLING = [
    arrival(7 * i, 40, 20, cancel_ms=7 * i + 30 if i % 5 == 0 else -1) for i in range(REQUESTS)
]
"""Every fifth of the clients cancels, most of them in mid-transfer."""


def both_ways(experiment: dict[str, Any], arrivals: Sequence[Arrival] = CANCELLING) -> Ran:
    jumped, stepped = (
        run(experiment, jump=jump, workload=Script(arrivals)) for jump in (True, False)
    )
    assert differences(jumped, stepped) == []
    return jumped


def test_every_kind_is_shown() -> None:
    assert {*SURVIVED, *LIES, "sigkill"} == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "aims"),
    [(kind, aims) for kind, cases in SURVIVED.items() for aims in cases],
    ids=lambda case: case if isinstance(case, str) else "-".join(map(str, case.values())),
)
def test_what_can_be_survived_is(kind: str, aims: dict[str, Any]) -> None:
    ran = both_ways(data({"kind": kind, **aims}))
    assert problems(ran) == []
    told = [event for event in ran.events if event[2] == "fault"]
    assert told, "it fired"
    assert ran.summary["faults"] == {kind: len(told)}
    assert ran.summary["unfired"] == []
    assert {event[4]["fault"] for event in told} == {kind}


@pytest.mark.parametrize("kind", LIES)
def test_a_lie_is_seen_for_what_it_is(kind: str) -> None:
    ran = both_ways(data({"kind": kind}))
    assert ran.exit_code == 4
    assert {v["kind"] for v in ran.summary["violations"]} == LIES[kind]


def test_a_lie_about_bytes_that_never_come_is_wrong_kv_alone() -> None:
    stalled = {"kind": "stall", "requests": [3]}
    ran = both_ways(data(stalled, {"kind": "false_completion", "requests": [3]}))
    assert [v["kind"] for v in ran.summary["violations"]] == ["wrong_kv"]


def test_the_same_without_faults_keeps_the_contract() -> None:
    ran = both_ways(data())
    assert problems(ran) == []
    assert (ran.summary["faults"], ran.summary["unfired"]) == ({}, [])


@pytest.mark.parametrize("phase", [None, *KINDS["sigkill"].phases])
def test_a_killed_rank_ends_the_job(phase: str | None) -> None:
    ran = both_ways(data({"kind": "sigkill", "ranks": [3], "after": "50ms", "phase": phase}))
    assert ran.exit_code == 5
    assert ran.summary["violations"] == []
    assert ran.summary["faults"] == {"sigkill": 1}
    assert ran.summary["unfired"] == []
    assert {e[4]["lost"] for e in ran.events if e[2] == "survived"} == {3}


@pytest.mark.parametrize("kind", ["sigkill", "sigstop"])
def test_a_process_that_comes_to_the_phase_too_late_is_not_hit(kind: str) -> None:
    fault = {"kind": kind, "ranks": [3], "after": "50ms", "before": "60ms", "phase": "drain"}
    lasting = {} if kind == "sigkill" else {"duration": "30ms"}
    ran = both_ways(data(fault | lasting))
    assert problems(ran) == []
    assert ran.summary["faults"] == {kind: 0}
    (said,) = ran.summary["unfired"]
    assert kind in said
    assert "window" in said


def test_a_process_in_a_step_when_the_window_ends_is_hit_behind_it() -> None:
    fault = {"kind": "sigstop", "ranks": [3], "after": "50ms", "before": "50001us"}
    ran = both_ways(data(fault | {"duration": "30ms"}))
    (at_ns,) = [event[0] for event in ran.events if event[2] == "fault"]
    assert at_ns > 50_001_000


def test_what_a_stopped_process_leaves_unread_is_not_its_doing() -> None:
    """Longer than the oracle of unread input is patient, and shorter than a hang."""
    stop = {"kind": "sigstop", "ranks": [2], "after": "50ms", "duration": "20s"}
    ran = both_ways(data(stop))
    assert problems(ran) == []


def test_a_stopped_rank_hears_of_a_failed_one_afterwards() -> None:
    stopped = {"kind": "sigstop", "ranks": [2], "after": "50ms", "duration": "300ms"}
    ran = both_ways(data(stopped, {"kind": "sigkill", "ranks": [3], "after": "60ms"}))
    assert ran.exit_code == 5
    assert ran.summary["faults"] == {"sigkill": 1, "sigstop": 1}
    at_ns = next(e[0] for e in ran.events if e[2] == "fault" and e[1] == 2)
    survived_ns = next(e[0] for e in ran.events if e[2] == "survived")
    assert survived_ns >= at_ns + 300_000_000


def test_refused_blocks_cost_their_request_and_nothing_else() -> None:
    ran = both_ways(data({"kind": "refuse_registration", "requests": [4]}, bandwidth="10GiB"))
    by_outcome = {r.request_id: str(r.outcome) for r in ran.records}
    assert [r for r, outcome in by_outcome.items() if outcome == "failed"] == [4]
    assert ran.summary["transfers"]["quarantined_peak"] == 0
    sender = [e for e in ran.events if e[3] == 4 and e[1] in CONTEXT and e[2] == "cancelled"]
    assert sender, "it was told, and did not keep its KV until a limit"


def test_a_restart_loses_what_is_open_and_nothing_later() -> None:
    ran = both_ways(data({"kind": "restart", "after": "50ms", "duration": "30ms", "ranks": [0]}))
    lost = [e for e in ran.events if e[4].get("cause") == "peer_lost"]
    assert {e[1] for e in lost} >= {0}, "the rank itself"
    assert {e[1] for e in lost} & set(GENERATION), "and its peers"
    assert {e[2] for e in lost} == {"quarantined"}
    fenced_ns = min(e[0] for e in lost) + 30_000_000 - 10_000_000
    for _, rank, _, request, _ in lost:
        end = next(e for e in ran.events if e[1:4] == (rank, "released", request))
        assert end[0] >= fenced_ns, "no proof before the fence"
    later = [e for e in ran.events if e[1] == 0 and e[2] == "complete" and e[0] > fenced_ns]
    assert later


LOST_MESSAGES: dict[str, list[dict[str, Any]]] = {
    "the advertise, twice": [{"kind": "lose", "phase": "advertise", "requests": [4]}],
    "the cancel": [
        {"kind": "delay", "duration": "150ms", "requests": [4]},
        {"kind": "lose", "phase": "cancel", "requests": [4]},
    ],
    "the end": [
        {"kind": "fail", "requests": [4]},
        {"kind": "lose", "phase": "ended", "requests": [4], "count": 1},
    ],
}


@pytest.mark.parametrize("faults", LOST_MESSAGES.values(), ids=LOST_MESSAGES)
def test_one_lost_message_keeps_no_block_in_doubt(faults: list[dict[str, Any]]) -> None:
    """The receiver's cancel asks again, and is answered whatever has become of the session."""
    ran = both_ways(data(*faults, bandwidth="10GiB"))
    assert problems(ran) == []
    assert ran.summary["faults"]["lose"] == (2 if faults[0]["kind"] == "lose" else 1)
    assert ran.summary["transfers"]["quarantined_peak"] == 1
    assert ran.summary["transfers"]["quarantined_now"] == 0
    assert {r.request_id for r in ran.records if r.outcome == "timed_out"} == {4}


@pytest.mark.parametrize("kind", ["lose", "duplicate", "late", "reorder", "former_owner"])
@pytest.mark.parametrize("phase", ["advertise", "queued", "began"])
def test_what_happens_once_to_a_word_of_a_queued_transfer_costs_nobody_anything(
    phase: str, kind: str
) -> None:
    """One slot at each sender, so that most are queued: all complete, whichever word of one of them
    is lost, said twice, late, overtaken or followed by one about an earlier attempt."""
    fault = {"kind": kind, "phase": phase, "count": 1}
    if kind in ("late", "reorder"):
        fault["duration"] = "70ms"
    sections = data(fault)
    sections["transceiver"] |= {
        "max_inflight_transfers": 1,
        "max_inflight_transfers_per_peer": 1,
        "wait_timeout": "20s",
    }
    ran = both_ways(sections, [arrival(1, 40, 4) for _ in range(16)])
    assert problems(ran) == []
    assert ran.summary["faults"][kind] >= 1
    assert {r.outcome for r in ran.records} == {"completed"}
    assert ran.summary["transfers"]["quarantined_peak"] == 0


def test_answers_that_are_lost_are_asked_for_again() -> None:
    """The address never came, nor did two answers to the cancel: the third is in time, as the job
    goes on for so long. Nothing is left in doubt, and nobody is ill."""
    faults: list[dict[str, Any]] = [
        {"kind": "lose", "phase": "advertise", "requests": [0]},
        {"kind": "lose", "phase": "never_started", "requests": [0], "count": 2},
    ]
    arrivals = [arrival(0, 40, 20), arrival(900, 40, 20)]
    jumped, stepped = (
        run(data(*faults), jump=jump, workload=Script(arrivals)) for jump in (True, False)
    )
    assert differences(jumped, stepped) == []
    assert problems(jumped) == []
    assert jumped.summary["faults"]["lose"] == 4
    assert jumped.summary["transfers"]["quarantined_now"] == 0
    assert jumped.summary["health"]["unhealthy_intervals"] == 0
    asked = [e for e in jumped.events if e[4].get("cause") == "ask"]
    assert len(asked) == 2


def test_a_fault_that_never_met_anything_says_why() -> None:
    faults: list[dict[str, Any]] = [
        {"kind": "lose", "after": "1h"},
        {"kind": "delay", "duration": "1s", "requests": [999]},
        {"kind": "sigstop", "duration": "1s", "after": "1h"},
        {"kind": "stall", "probability": 0.0},
        {"kind": "skew", "duration": "1s", "probability": 0.0},
        {"kind": "fail"},
        {"kind": "handle_error"},
    ]
    ran = both_ways(data(*faults))
    assert ran.summary["unfired"] == [
        "faults.0 (lose) could never fire: no advertise or cached or queued or began or ended or"
        " never_started or cancel or unpacked fell into its window of time",
        "faults.1 (delay) could never fire: no post was about one of its requests",
        "faults.2 (sigstop) could never fire: the run was over before its time came",
        "faults.3 (stall) did not fire: it fitted, and with a probability of 0 was not drawn",
        "faults.4 (skew) did not fire: with a probability of 0 it was not drawn",
        "faults.6 (handle_error) did not fire: what fitted it was hit by a fault before it",
    ]
    assert list(ran.summary["faults"]) == sorted(ran.summary["faults"])
    assert ran.summary["faults"]["fail"] > 0
