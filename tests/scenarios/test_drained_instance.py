"""An instance is taken out of service, and put in again, while the job goes on (contract 6.2)."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv.output.closing import missed_maintenance
from tests.scenarios.story import Told, setting, tell
from tests.worlds.virtual.running import differences, problems, run

KINDS = ("instance_out", "instance_drained", "instance_back", "instance_stepped_in")
LATER = {"at": "3s", "prompt_tokens": 64, "output_tokens": 4, "times": 10, "every": "100ms"}
ILL: dict[str, Any] = {
    "progress_deadline": "500ms",
    "shutdown_grace": "500ms",
    "transfer_timeout": "200ms",
}


def story(
    context: dict[str, int],
    generation: dict[str, int],
    *faults: dict[str, Any],
    in_doubt: tuple[int, ...] = (),
    **more: Any,
) -> Told:
    return tell(sections(context, generation, *faults, **more), in_doubt=in_doubt)


def sections(
    context: dict[str, int],
    generation: dict[str, int],
    *faults: dict[str, Any],
    requests: int = 10,
    tokens: int = 4,
    **more: Any,
) -> dict[str, Any]:
    """Requests come every 100 ms, and ten more after 3 s."""
    first = {"at": "0s", "prompt_tokens": 64, "output_tokens": tokens} | {
        "times": requests,
        "every": "100ms",
    }
    found: dict[str, Any] = {
        "topology": {"context": context, "generation": generation} | more.pop("topology", {}),
        "transceiver": ILL,
        "executor": {"drain_timeout": "300ms"},
        "workload": {"kind": "script", "requests": [first, LATER]},
        "faults": [*faults],
        "on_instance_unhealthy": "drain",
    }
    return setting("drained", 1, 1) | found | more


def changes(told: Told) -> list[tuple[str, int]]:
    """What happened to which instance, as the coordinator tells it."""
    return [(str(e[2]), e[4]["instance"]) for e in told.ran.events if e[2] in KINDS]


def instances(told: Told, first: int) -> set[int]:
    """The decode servers of the requests from this one on."""
    return {r.generation_instance for r in told.ran.records if r.request_id >= first}


def stuck(*, sender: int, peers: list[int], **when: Any) -> dict[str, Any]:
    return {"kind": "stall", "ranks": [sender], "peers": peers} | when


def outcomes(told: Told, first: int) -> set[str]:
    return {str(r.outcome) for r in told.ran.records if r.request_id >= first}


def test_one_sick_server_does_not_stop_the_job() -> None:
    """Its transfers are stuck, so its sender's are too; that one is needed, and not blamed."""
    told = story(
        {"ranks": 1}, {"instances": 2, "ranks": 1}, stuck(sender=0, peers=[2]), in_doubt=(0, 2)
    )
    assert told.summary["exit_code"] == 0
    assert changes(told) == [("instance_out", 2), ("instance_drained", 2)]
    assert instances(told, 10) == {1}
    assert outcomes(told, 10) == {"completed"}
    (outage,) = told.summary["outages"]
    assert (outage["instance"], outage["until_s"]) == ("generation-2", None)
    assert outage["why"].startswith("unhealthy: ")
    assert 1 < outage["from_s"] == outage["drained_s"] < 1.7


def test_without_draining_the_same_stops_the_job() -> None:
    told = story(
        {"ranks": 1},
        {"instances": 2, "ranks": 1},
        stuck(sender=0, peers=[2]),
        in_doubt=(0, 2),
        on_instance_unhealthy="shutdown",
    )
    assert (told.summary["exit_code"], told.summary["requests"]["submitted"]) == (75, 10)
    assert told.summary["outages"] == []


def test_a_sick_sender_is_blamed_where_several_receivers_wait_for_it() -> None:
    told = story(
        {"instances": 2, "ranks": 1},
        {"instances": 2, "ranks": 1},
        stuck(sender=1, peers=[2, 3]),
        in_doubt=(1, 2, 3),
        requests=20,
    )
    assert told.summary["exit_code"] == 0
    assert [one["instance"] for one in told.summary["outages"] if one["until_s"] is None] == [
        "context-1"
    ]
    assert {r.context_instance for r in told.ran.records if r.request_id >= 20} == {0}
    assert outcomes(told, 20) == {"completed"}


@pytest.mark.parametrize(("contexts", "ranks"), [(2, 2), (3, 1)])
def test_a_sick_receiver_is_blamed_though_its_senders_speak_first(
    contexts: int, ranks: int
) -> None:
    """A sender has no progress a transfer timeout before the other end is stuck in quarantine."""
    stuck_here = {"kind": "stall", "peers": [contexts * ranks]}
    servers = {"instances": contexts, "ranks": ranks}, {"instances": 2, "ranks": ranks}
    ran = run(sections(*servers, stuck_here, requests=20))
    assert problems(ran) == []
    assert [one["instance"] for one in ran.summary["outages"]] == [f"generation-{contexts}"]
    assert outcomes(Told(ran), 20) == {"completed"}


def test_healthy_again_it_is_put_in_again() -> None:
    """The transfers that stood still go on after 2 s."""
    told = story(
        {"ranks": 1},
        {"instances": 2, "ranks": 1},
        stuck(sender=0, peers=[2], before="1s", duration="2s"),
    )
    assert told.summary["exit_code"] == 0
    assert changes(told) == [
        ("instance_out", 2),
        ("instance_drained", 2),
        ("instance_back", 2),
    ]
    assert instances(told, 10) == {1, 2}
    assert outcomes(told, 10) == {"completed"}


def test_where_no_other_can_serve_the_job_ends_as_ever() -> None:
    told = story({"ranks": 1}, {"ranks": 1}, stuck(sender=0, peers=[1]), in_doubt=(0, 1))
    assert told.summary["exit_code"] == 75
    assert changes(told) == []


def test_a_spare_steps_in_for_a_sick_one() -> None:
    told = story(
        {"ranks": 1},
        {"instances": 2, "ranks": 1, "spares": 1},
        stuck(sender=0, peers=[1]),
        in_doubt=(0, 1),
    )
    assert changes(told)[:2] == [("instance_out", 1), ("instance_stepped_in", 2)]
    assert (instances(told, 10), outcomes(told, 10)) == ({2}, {"completed"})
    assert told.summary["outages"][0]["spare"] == "generation-2"


@pytest.mark.parametrize("recompute", [False, True])
def test_what_is_not_finished_in_time_is_taken_and_computed_again_if_asked(
    recompute: bool,
) -> None:
    """Its requests decode for two seconds, and it has 300 ms."""
    told = story(
        {"ranks": 1},
        {"instances": 2, "ranks": 1},
        requests=4,
        tokens=400,
        topology={"maintenance": [{"instance": 2, "after": "1s", "duration": "1s"}]},
        kv_cache={"block_tokens": 16, "blocks": 512, "reuse": False},
        recompute=recompute,
    )
    assert changes(told) == [
        ("instance_out", 2),
        ("instance_drained", 2),
        ("instance_back", 2),
    ]
    (outage,) = told.summary["outages"]
    assert (outage["why"], outage["taken"], outage["spare"]) == ("maintenance", 2, None)
    assert outage["drained_s"] == pytest.approx(1.3, abs=0.02)
    failed = [r for r in told.ran.records if r.outcome == "failed"]
    assert {r.detail for r in failed} == (
        set() if recompute else {"generation-2 was taken out of service"}
    )
    assert len(failed) + told.summary["recomputed"] == 2
    assert instances(told, 4) == {1, 2}, "it serves again"


def test_the_last_one_is_kept() -> None:
    told = story({"ranks": 1}, {"ranks": 1}, topology=windows((1, "0s", None)))
    assert told.summary["outages"] == []
    assert outcomes(told, 0) == {"completed"}


def test_maintenance_that_did_not_happen_is_told_with_its_reason() -> None:
    times = windows((0, "100ms", None), (1, "2500ms", "1s"), (2, "1h", None))
    servers = {"context": {"ranks": 1}, "generation": {"instances": 2, "ranks": 1}}
    ran = run(
        setting("kept", 1, 1)
        | {"topology": servers | times, "on_rank_failure": "shrink"}
        | {"workload": {"kind": "script", "requests": [LATER]}}
        | {"faults": [{"kind": "sigkill", "ranks": [1], "after": "2s"}]}
    )
    assert problems(ran) == []
    assert ran.summary["outages"] == []
    assert missed_maintenance(ran.summary) == [
        "topology.maintenance.0 (context-0 after 0.1 s) did not happen:"
        " no other of its kind could serve",
        "topology.maintenance.1 (generation-1 after 2.5 s) did not happen: its ranks have failed",
        "topology.maintenance.2 (generation-2 after 3600 s) did not happen:"
        " the run was over before its time came",
    ]


def windows(*times: tuple[int, str, str | None]) -> dict[str, Any]:
    every = [{"instance": i, "after": after, "duration": lasts} for i, after, lasts in times]
    return {"maintenance": every}


def outages(told: Told) -> list[tuple[str, float, float | None]]:
    return [(one["instance"], one["from_s"], one["until_s"]) for one in told.summary["outages"]]


def test_one_goes_out_at_the_instant_at_which_another_comes_back() -> None:
    times = windows((1, "500ms", "2s"), (2, "2500ms", "1s"))
    told = story({"ranks": 1}, {"instances": 2, "ranks": 1}, topology=times)
    assert outages(told) == [("generation-1", 0.5, 2.5), ("generation-2", 2.5, 3.5)]
    assert outcomes(told, 0) == {"completed"}


@pytest.mark.parametrize(
    "second",
    [("1s", "500ms"), ("1s", "2500ms"), ("2500ms", "1s")],
    ids=["within", "overlaps", "meets"],
)
def test_one_is_out_as_long_as_any_of_its_times_lasts(second: tuple[str, str]) -> None:
    times = windows((2, *second), (2, "500ms", "2s"))
    told = story({"ranks": 1}, {"instances": 2, "ranks": 1}, topology=times)
    until = 2.5 if second == ("1s", "500ms") else 3.5
    assert outages(told) == [("generation-2", 0.5, until)]


def test_one_that_is_well_again_stays_out_until_its_time_is_over() -> None:
    """It is ill from about 1.4 s to 3 s, and its time is from 2 s to 3.5 s."""
    told = story(
        {"ranks": 1},
        {"instances": 2, "ranks": 1},
        stuck(sender=0, peers=[2], before="1s", duration="2s"),
        topology=windows((2, "2s", "1500ms")),
    )
    ((name, from_s, until_s),) = outages(told)
    assert (name, until_s) == ("generation-2", 3.5)
    assert 1 < from_s < 2
    early = {r.generation_instance for r in told.ran.records if 3e9 <= r.arrival_ns < 3.5e9}
    assert early == {1}
    assert instances(told, 10) == {1, 2}


def test_one_that_is_ill_when_its_time_is_over_stays_out_until_it_is_well() -> None:
    told = story(
        {"ranks": 1},
        {"instances": 2, "ranks": 1},
        stuck(sender=0, peers=[2], before="1s", duration="3s"),
        topology=windows((2, "900ms", "1s")),
    )
    ((name, from_s, until_s),) = outages(told)
    assert (name, from_s) == ("generation-2", 0.9)
    assert until_s is not None
    assert until_s > 2.5


def test_a_spare_steps_in_for_one_whose_ranks_have_failed() -> None:
    data = setting("lost", 1, 1) | {
        "topology": {
            "context": {"ranks": 1},
            "generation": {"instances": 2, "ranks": 1, "spares": 1},
        },
        "workload": {"kind": "script", "requests": [LATER]},
        "faults": [{"kind": "sigkill", "ranks": [1], "after": "2s"}],
        "on_rank_failure": "shrink",
    }
    jumped, stepped = (run(data, jump=jump) for jump in (True, False))
    assert differences(jumped, stepped) == []
    assert problems(jumped) == []
    assert changes(Told(jumped)) == [("instance_stepped_in", 2)]
    assert {r.generation_instance for r in jumped.records} == {2}


def test_an_ill_rank_with_nothing_to_do_hears_that_the_job_ends() -> None:
    """It sleeps, and would bring another status than it has announced: found by exploration."""
    requests = [("0s", 2), ("0s", 3), ("500ms", 2), ("3320ms", 3)]
    data = setting("asleep", 1, 1) | {
        "topology": {
            "context": {"instances": 2, "ranks": 2},
            "generation": {"instances": 2, "ranks": 1},
        },
        "kv_cache": {"block_tokens": 16, "blocks": 3, "reuse": False},
        "executor": {"drain_timeout": "200ms"},
        "transceiver": {
            "progress_deadline": "400ms",
            "shutdown_grace": "400ms",
            "transfer_timeout": "100ms",
            "wait_timeout": "500ms",
        },
        "workload": {
            "kind": "script",
            "requests": [
                {"at": at, "prompt_tokens": 1, "output_tokens": output} for at, output in requests
            ],
        },
        "faults": [{"kind": "fail", "proven": False}],
        "on_instance_unhealthy": "drain",
    }
    jumped, stepped = (run(data, jump=jump) for jump in (True, False))
    assert differences(jumped, stepped) == []
    assert problems(jumped) == []
    assert jumped.summary["outages"]


def test_an_ill_rank_that_sleeps_has_said_that_it_wants_to_stop() -> None:
    """The group ends: its plan says so, and with it an ill rank proposes what it has not yet."""
    data = setting("ends", 1, 1) | {
        "topology": {"context": {"instances": 3, "ranks": 1}, "generation": {"ranks": 3}},
        "on_instance_unhealthy": "drain",
        "workload": {
            "kind": "poisson",
            "rate": 1,
            "requests": 1,
            "prompt_tokens": {"min": 1, "max": 1},
            "output_tokens": {"min": 1, "max": 2},
            "retry": {"attempts": 4},
        },
        "faults": [{"kind": "lose"}],
    }
    jumped, stepped = run(data), run(data, jump=False)
    assert jumped.exit_code == stepped.exit_code == 75
    assert differences(jumped, stepped) == []
