"""Scenarios 1, 2 and 12: what one rank notices alone, the group hears in its next join."""

from __future__ import annotations

from tests.scenarios.story import MS, arrival, setting, tell

R0, R1, R2, R3 = GROUP = range(4, 8)
"""World ranks of the generation group."""


def test_1_completion_on_one_rank() -> None:
    arrivals = [arrival(0, 32, 2 + 3 * i, wanted=i % 4) for i in range(7)]
    # r7 comes when all others are done: it is R2's, and ends there alone.
    told = tell(setting("completion", 4, 4), [*arrivals, arrival(400, 32, 4, wanted=2)])
    assert told.outcomes == ["completed"] * 8
    flushes = told.flushes(GROUP)
    assert flushes[-1] == [[], [], [7], []]
    answered = [request for lists in flushes for some in lists for request in some]
    assert sorted(answered) == list(range(8)), "each request leaves in one flush, from one rank"


def test_1_a_transfer_that_ends_badly_is_staged_the_same_way() -> None:
    data = setting("failure", 4, 4, faults=[{"kind": "fail", "requests": [7]}])
    arrivals = [arrival(0, 32, 60, wanted=i % 4) for i in range(7)]
    told = tell(data, [*arrivals, arrival(10, 32, 4, wanted=2)])
    assert told.outcomes == ["completed"] * 7 + ["failed"]
    assert [[], [], [7], []] in told.flushes(GROUP)


def test_2_error_on_one_rank_of_sixteen() -> None:
    group = range(16, 32)
    fault = {"kind": "fail", "phase": "expect", "ranks": [group[11]], "count": 1}
    data = setting("one-of-sixteen", 16, 16, faults=[{**fault, "proven": False}])
    arrivals = [arrival(0, 32, 20, wanted=i) for i in range(16)]
    told = tell(data, arrivals)
    expected = ["completed"] * 16
    expected[11] = "failed"
    assert told.outcomes == expected
    lists: list[list[int]] = [[] for _ in group]
    lists[11] = [11]
    assert lists in told.flushes(group), "the others join with empty lists"
    healthy = tell(data | {"faults": []}, arrivals)
    for request in set(range(16)) - {11}:
        mine, theirs = told.record(request), healthy.record(request)
        assert (mine.outcome, mine.tokens) == (theirs.outcome, theirs.tokens)
        # The error ended a wait of the whole group, so its next step began within another's time.
        assert abs(mine.ended_ns - theirs.ended_ns) <= 5 * MS, "the others are untouched"


def test_12_one_ranks_ill_health() -> None:
    data = setting(
        "one-ill-rank",
        4,
        4,
        executor={"drain_timeout": "100ms"},
        kv_cache={"block_tokens": 16, "blocks": 128},
        transceiver={
            "transfer_timeout": "200ms",
            "progress_deadline": "500ms",
            "shutdown_grace": "1s",
        },
        faults=[{"kind": "stall", "phase": "expect", "ranks": [R3], "count": 1}],
    )
    # One wedged transfer on R3, which also decodes a pinned request for long, beside others.
    arrivals = [arrival(10, 32, 4, wanted=3)]
    arrivals += [arrival(20, 32, 900, wanted=i) for i in range(4)]
    arrivals += [arrival(50 * i, 32, 4, wanted=i % 3) for i in range(1, 100)]
    told = tell(data, arrivals, in_doubt=[R3])
    assert told.summary["outcome"] == "unhealthy"
    assert {report.exit_code for report in told.ran.reports} == {75}
    assert [told.report(r).unhealthy_intervals for r in GROUP] == [0, 0, 0, 1]
    assert "stuck_in_quarantine" in told.report(R3).reasons
    assert len({told.report(rank).iterations for rank in GROUP}) == 1, "all leave together"
    open_then = [record for record in told.ran.records if record.output_tokens == 900]
    assert [record.outcome for record in open_then] == ["failed"] * 4
    assert all("unhealthy" in record.detail for record in open_then)
    assert told.report(R3).transfers.quarantined_now == 1
    assert told.report(R3).blocks.quarantined == 3, "32 + 4 tokens in blocks of 16"
    # Ill half a second after its last movement, a second of grace, then the bound on draining.
    assert 1_500 * MS < told.job.world.queue.now < 2_000 * MS


def test_12_why_it_is_ill_is_told_to_the_group_as_it_changes() -> None:
    data = setting(
        "ill-and-iller",
        4,
        4,
        executor={"drain_timeout": "100ms"},
        kv_cache={"block_tokens": 16, "blocks": 128},
        transceiver={
            "transfer_timeout": "200ms",
            "progress_deadline": "500ms",
            "shutdown_grace": "1s",
        },
        faults=[{"kind": "stall", "phase": "expect", "ranks": [R3], "count": 1}],
    )
    arrivals = [arrival(10, 32, 4, wanted=3), arrival(10, 32, 900, wanted=0)]
    told = tell(data, arrivals, in_doubt=[R3])
    assert told.summary["outcome"] == "unhealthy"
    said: dict[tuple[str, ...], int] = {}
    for at_ns, operation in told.operations(R3):
        if operation.site == "sync":
            said.setdefault(operation.payload.reasons, at_ns)  # type: ignore[attr-defined]
    nothing_moves, stuck = ("no_progress",), ("no_progress", "stuck_in_quarantine")
    assert list(said) == [(), nothing_moves, stuck]
    # In quarantine for half a second after 200 ms of transfer, long before the grace is over.
    assert 700 * MS < said[stuck] < 900 * MS
