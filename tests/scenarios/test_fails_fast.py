"""What fails fast attracts no traffic (contract 7)."""

from __future__ import annotations

from typing import Any

from tests.scenarios.story import Told, arrival, setting, tell

REFUSES: dict[str, Any] = {"kind": "refuse_registration"}


def story(context: int, generation: int, *faults: dict[str, Any], **more: Any) -> Told:
    """200 requests, 100 a second, of which each takes 0.2 s to decode."""
    data = setting("fails-fast", context, generation, faults=[*faults]) | {
        "topology": {
            "context": {"ranks": context},
            "generation": {"ranks": generation},
        },
        "workload": {
            "kind": "poisson",
            "rate": 100,
            "requests": 200,
            "prompt_tokens": {"min": 64, "max": 64},
            "output_tokens": {"min": 40, "max": 40},
        },
        "kv_cache": {"blocks": 1024},
        "model": {},
        **more,
    }
    return tell(data)


def served_by(told: Told, rank: int) -> list[bool]:
    """Whether each request that the rank was given was served, in order of arrival."""
    records = sorted(told.ran.records, key=lambda record: record.request_id)
    mine = [r for r in records if rank in (r.generation_rank, r.context_rank)]
    return [record.outcome == "completed" for record in mine]


def kinds(told: Told, *kinds: str) -> list[tuple[str, int]]:
    return [(str(e[2]), e[1]) for e in told.ran.events if e[2] in kinds]


CHANGES = ("avoided", "probed", "readmitted")


def test_the_experiment_of_the_issue_loses_a_handful() -> None:
    told = story(
        1,
        1,
        REFUSES | {"ranks": [2]},
        topology={"context": {"ranks": 1}, "generation": {"instances": 2, "ranks": 1}},
        workload={
            "kind": "poisson",
            "rate": 50,
            "requests": 400,
            "prompt_tokens": {"min": 64, "max": 64},
            "output_tokens": {"min": 40, "max": 40},
        },
    )
    assert told.summary["requests"]["failed"] <= 6, "357 without the memory"
    (avoided,) = told.summary["avoided"]
    assert (avoided["rank"], avoided["times"], avoided["now"]) == (2, 4, True)
    assert told.summary["exit_code"] == 0


def test_a_rank_of_a_group_is_avoided_probed_and_readmitted() -> None:
    told = story(1, 3, REFUSES | {"ranks": [2], "before": "400ms"}, router={"avoid_pause": "200ms"})
    lost = [not served for served in served_by(told, 2)]
    assert lost[:4] == [True] * 4, "three, and the first probe"
    assert sum(lost) == 4
    assert [kind for kind, rank in kinds(told, *CHANGES) if rank == 2] == [
        "avoided", "probed", "avoided", "probed", "readmitted"
    ]  # fmt: skip
    assert not kinds(told, "instance_avoided"), "two other ranks are trusted"
    assert told.summary["avoided"][0]["now"] is False


def test_a_sick_sender_is_found_and_its_receivers_are_not_blamed() -> None:
    told = story(2, 2, {"kind": "fail", "ranks": [1]})
    assert {rank for _, rank in kinds(told, "avoided")} == {1}
    assert told.summary["requests"]["failed"] <= 6


def test_where_no_other_rank_is_trusted_requests_go_there_and_are_served_again() -> None:
    told = story(1, 1, REFUSES | {"ranks": [1], "before": "800ms"})
    served = served_by(told, 1)
    first = served.index(True)
    assert all(served[first:]), "from then on"
    assert kinds(told, "readmitted") == [("readmitted", 1)]
    assert kinds(told, "instance_avoided", "instance_readmitted") == [
        ("instance_avoided", -1),
        ("instance_readmitted", -1),
    ]


def test_requests_that_insist_on_an_avoided_rank_get_it() -> None:
    """The first four refuse, and make it avoided; who insists on it is no probe, and is served."""
    arrivals = [arrival(10 * i, 64, 8, wanted=0) for i in range(4)]
    insisting = [arrival(300 + 10 * i, 64, 8, wanted=0) for i in range(3)]
    free = [arrival(400 + 10 * i, 64, 8) for i in range(3)]
    told = tell(
        setting("wishes", 1, 2, faults=[REFUSES | {"ranks": [1], "requests": [0, 1, 2, 3]}]),
        [*arrivals, *insisting, *free],
    )
    assert told.outcomes == ["failed"] * 4 + ["completed"] * 6
    assert [told.record(i).generation_rank for i in range(4, 10)] == [1, 1, 1, 2, 2, 2]
    assert kinds(told, *CHANGES) == [("avoided", 1)]
