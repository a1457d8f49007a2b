"""The virtual world with a `calibration`: the same run with and without jumping, all oracles on."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import pytest

from adpkv.config import parse
from adpkv.config.calibration import Spread, StallCalibration, WorkCalibration
from adpkv.core.ids import COORDINATOR
from adpkv.core.values import Outcome, RequestSpec, Response
from adpkv.errors import ConfigError
from adpkv.executor.messages import Admit, Answers, Message, Missing, RankFailed
from adpkv.worlds.virtual.calibrated import MeasuredMessages, pace_of
from adpkv.worlds.virtual.draws import drawing
from adpkv.worlds.virtual.in_memory import InMemory, simulate_in_memory
from adpkv.worlds.virtual.iteration_work import IterationWork, Work
from adpkv.worlds.virtual.measured import MeasuredStretch, NoticedWaits
from adpkv.worlds.virtual.stalls import Stalls
from adpkv.worlds.virtual.stretch import StepStretch, WaitStretch, columns_of
from tests.worlds.virtual.experiments import experiment, replicated, staged

CALIBRATION: dict[str, Any] = {
    "start": "15ms",
    "requests": {
        "assigned": {"once": "90us", "each": "20.5us", "per_block": "3us"},
        "prefilled": {"once": "50us", "per_block": "12.5us", "per_kib": "300ns"},
        "advertised": {"once": "300us", "each": "60us", "per_kib": "480ns"},
        "answered": {"each": "150.5us", "per_block": "10us"},
    },
    "step": {"base": "98us", "per_prefill_token": "1.5ns"},
    "groups": [
        {
            "ranks": 2,
            "collective": "30us",
            "iteration": "400us",
            "per_sequence": "12.5us",
            "idle": "90us",
            "jitter": {"p50": "20us", "p99": "300us", "most": "5ms"},
            "stalls": {"every": "70ms", "length": {"p50": "4ms", "most": "35ms"}},
        },
        {"ranks": 4, "collective": "50us", "jitter": {"least": "1us", "most": "9ms"}},
    ],
    "messages": {
        "to_coordinator": {"least": "300us", "p50": "1ms", "most": "4ms"},
        "beside_coordinator": {"least": "100us", "most": "2ms"},
        "from_coordinator": {"least": "200us", "most": "2ms"},
        "between_ranks": {"p50": "700us", "most": "9ms"},
        "notice": {"p50": "400us", "most": "3ms"},
    },
    "transfers": {
        "latency": "150us",
        "bandwidth": "1GiB",
        "posted": {"once": "100us", "per_kib": "100ns"},
        "sent": {"once": "90us", "each": "30us"},
        "received": {"each": "50us", "per_kib": "130.5ns"},
    },
}


def on_slots(seed: int) -> dict[str, Any]:
    return staged(experiment(seed))


def ended(data: dict[str, Any], *, jump: bool) -> InMemory | str:
    try:
        return simulate_in_memory(parse(data, "calibrated"), jump=jump)
    except Exception as error:
        return f"{type(error).__name__}"


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.parametrize("kind", [experiment, replicated, on_slots])
def test_a_calibrated_run_that_jumps_equals_one_that_does_not(kind: Any, seed: int) -> None:
    data = {**kind(seed), "calibration": CALIBRATION}
    jumped, whole = (ended(data, jump=jump) for jump in (True, False))
    if isinstance(jumped, str) or isinstance(whole, str):
        assert jumped == whole
        return
    assert jumped.events == whole.events
    assert jumped.requests == whole.requests
    # The gaps between tokens too, which a row of steps with noise adds one by one.
    assert jumped.summary["latency"] == whole.summary["latency"]


def quickly(**changes: Any) -> Any:
    data: dict[str, Any] = {
        "name": "calibrated",
        "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
        "model": {"step_base": "4ms"},
        "workload": {
            "kind": "closed_loop", "users": 4, "requests": 40,
            "prompt_tokens": {"min": 16, "max": 64}, "output_tokens": {"min": 4, "max": 16},
        },
        **changes,
    }  # fmt: skip
    return parse(data, "quickly")


def tpot_ms(**changes: Any) -> float:
    return 1e3 * simulate_in_memory(quickly(**changes)).summary["latency"]["tpot_s"]["p50"]


def test_each_part_of_a_step_takes_its_time() -> None:
    plain = tpot_ms()
    groups = [{"ranks": 2, "collective": "100us", "iteration": "1ms"}]
    # Four collectives of 100 us in place of 40 us, and 1 ms.
    assert tpot_ms(calibration={"groups": groups}) == pytest.approx(plain + 1.24, abs=0.05)
    assert tpot_ms(calibration={"step": {"base": "1ms"}}) == pytest.approx(plain + 1, abs=0.05)
    jitter = [{"ranks": 2, "collective": "40us", "jitter": {"least": "2ms", "most": "2ms"}}]
    assert tpot_ms(calibration={"groups": jitter}) == pytest.approx(plain + 2, abs=0.05)


def test_messages_transfers_and_notices_take_their_time() -> None:
    def ttft_ms(**calibration: Any) -> float:
        found = simulate_in_memory(quickly(calibration=calibration)).summary["latency"]
        return 1e3 * float(found["ttft_s"]["mean"])

    plain = ttft_ms()
    later = {"least": "20ms", "most": "20ms"}
    assert ttft_ms(messages={"to_coordinator": later, "beside_coordinator": later}) > plain + 15
    assert ttft_ms(messages={"from_coordinator": later}) > plain + 30
    assert ttft_ms(messages={"between_ranks": later}) > plain + 15
    assert ttft_ms(messages={"notice": later}) > plain + 3
    assert ttft_ms(groups=[{"ranks": 2, "collective": "40us", "idle": "20ms"}]) > plain + 3
    assert ttft_ms(transfers={"latency": "20ms"}) > plain + 15
    for work in ("posted", "sent", "received"):
        assert ttft_ms(transfers={work: {"once": "20ms"}}) > plain + 5
        assert ttft_ms(transfers={work: {"each": "20ms"}}) > plain + 5
    for work in ("assigned", "prefilled", "advertised", "answered"):
        assert ttft_ms(requests={work: {"once": "20ms"}}) > plain + 5
        assert ttft_ms(requests={work: {"per_block": "10ms"}}) > plain + 5
    # The first four of 40 requests meet the start.
    assert ttft_ms(start="200ms") == pytest.approx(plain + 20, abs=2)


@pytest.mark.parametrize("work", ["advertised", "answered"])
@pytest.mark.parametrize("way", ["plain", "staged", "reused"])
def test_work_per_block_counts_the_whole_prompt_as_the_fit_does(way: str, work: str) -> None:
    """With staging an address names no blocks, and what is cached is not asked for."""
    changes: dict[str, Any] = {
        "kv_cache": {"block_tokens": 16, "blocks": 256, "reuse_received": way == "reused"},
        "transceiver": {"staging": "on"} if way == "staged" else {},
        "workload": {
            "kind": "poisson", "rate": 1, "requests": 10,
            "prompt_tokens": {"min": 160, "max": 160}, "output_tokens": {"min": 2, "max": 4},
            # The last block is not shared, so there is always something to ask for.
            "shared_prefix": {"groups": 1, "tokens": 144},
        },
    }  # fmt: skip

    def latency_ms(**costs: str) -> float:
        found = simulate_in_memory(quickly(**changes, calibration={"requests": {work: costs}}))
        assert (found.summary["transfers"]["bytes_cached"] > 0) is (way == "reused")
        return 1e3 * float(found.summary["latency"]["e2e_s"]["mean"])

    assert latency_ms(per_block="5ms") == pytest.approx(latency_ms(each="50ms"), abs=0.01)
    assert latency_ms(per_block="5ms") > latency_ms() + 25


@pytest.mark.parametrize(
    "end",
    [
        Answers(1, (Response(3, 0, Outcome.FAILED, 2),)),
        Missing(1, ((3, 0),)),
        RankFailed(1, 3, -1, "the last one there"),
    ],
)
def test_a_request_that_is_over_is_forgotten(end: Message) -> None:
    costs = {"requests": {"answered": {"per_block": "1ms"}}}

    def answered_ns(*before: Message) -> int:
        found = quickly(calibration=costs)
        assert found.calibration is not None
        pace = pace_of(found, 1, None, None, jump=True)
        latency_ns = MeasuredMessages(found, found.calibration, pace).latency_ns
        latency_ns(COORDINATOR, 2, 0, Admit(RequestSpec(3, 0, 640, 2)))
        for message in before:
            latency_ns(2, COORDINATOR, 1, message)
        so_far_ns = pace.work(1).total_ns()
        answers = Answers(1, (Response(3, 0, Outcome.COMPLETED, 2),))
        return latency_ns(2, COORDINATOR, 2, answers) - so_far_ns

    assert answered_ns() == 10_000_000
    assert answered_ns(end) == 0


def test_a_calibration_of_an_earlier_version_is_told_in_a_line() -> None:
    old = {
        "requests": {"advertised": "3us", "advertised_per_kib": "1ns"},
        "transfers": {"post": "1us", "notice": "2us"},
    }
    with pytest.raises(ConfigError) as caught:
        quickly(calibration=old, sead=1)
    assert "sead: is not known here" in str(caught.value)
    lines = [line.strip() for line in str(caught.value).splitlines() if "calibration" in line]
    assert lines == [
        "calibration: was made by an earlier adpkv: run `adpkv calibrate` again (found a mapping)"
    ]


def test_work_holds_up_an_iteration_as_long_as_it_takes_the_slowest_rank() -> None:
    early = Work(WorkCalibration.model_validate({"once": "1us", "each": "10ns", "per_kib": "2ns"}))
    late = Work(WorkCalibration.model_validate({"per_block": "100ns"}), after_sync=True)
    found = IterationWork()
    assert found.total_ns() == 0
    found.add(0, early, 2, 4, 50 * 1024)
    found.add(1, early, 1, 9, 90 * 1024)
    assert found.total_ns() == found.so_far_ns(0) == 1000 + 3 * 10 + 180
    found.add(0, late, 1, 7, 0)
    found.add(1, late, 1, 3, 0)
    # All ranks meet in between: the slowest of each part counts.
    assert found.total_ns() == 1000 + 30 + 180 + 700
    assert found.so_far_ns(1) == 1000 + 30 + 180 + 300


def test_the_noise_depends_on_the_seed_alone() -> None:
    groups = [{"ranks": 2, "jitter": {"most": "5ms"}}]
    runs = [
        simulate_in_memory(quickly(seed=seed, calibration={"groups": groups})).requests
        for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_drawn_durations_have_the_quantiles_that_were_given() -> None:
    spread = Spread.model_validate({"least": "10ns", "p50": "1us", "p99": "2us", "most": "90us"})
    draw = drawing(spread, 7, "test")
    found = sorted(draw(number) for number in range(4000))
    assert found[0] >= 10
    assert found[2000] == pytest.approx(1000, rel=0.05)
    assert found[3960] == pytest.approx(2000, rel=0.1)
    assert found[-1] <= 90_000
    assert found[-1] > 2000


def test_a_measured_stretch_without_noise_is_a_stretch() -> None:
    lines = [(7000, 13), (6900, 19)]
    plain = StepStretch(100, 55, columns_of(lines), 50, 7)
    measured = MeasuredStretch(100, 55, lines, 50, 7, jitter=lambda step: 0, first=3, held_ns=0)
    for until_ns in (0, 100, 101, 5000, 20_000, 10**9):
        assert measured.end(until_ns) == plain.end(until_ns)
    assert sum(base for _, base, _ in measured.rows(50)) == plain.end(10**9)[1] - 100


def test_noticed_waits_end_later_but_not_after_their_limit() -> None:
    plain, noticed = WaitStretch(0, 10, 100), NoticedWaits(0, 10, 100, lambda *key: 30, 1)
    assert plain.arrival(50) == 50
    assert noticed.arrival(50) == 80
    assert noticed.arrival(100) == 110  # the limit of this wait
    assert noticed.arrival(5) == 10  # it was there before the wait began
    assert noticed.arrival(110) == plain.arrival(110) == 110
    assert noticed.arrival(165) == 195
    # Not in a stall either, but for the limit.
    stalled = NoticedWaits(0, 10, 100, lambda *key: 30, 1, lambda at, took: max(at + took, 90))
    assert stalled.arrival(20) == 90


def test_stalls_belong_to_the_time() -> None:
    """One in each window, whole; whatever lasts into it ends as much later, in one go or in
    parts."""
    costs = StallCalibration.model_validate(
        {"every": "100ms", "length": {"least": "5ms", "p50": "20ms", "p90": "40ms"}}
    )
    stalls, again = Stalls(costs, 3, 1), Stalls(costs, 3, 1)
    lengths = []
    for window in range(200):
        begin_ns = window * 100_000_000
        # So much fits into each window beside its stall.
        ends = [stalls.past(begin_ns, ns) for ns in range(0, 60_000_001, 500_000)]
        gaps = [after - before - 500_000 for before, after in pairwise(ends)]
        found = [gap for gap in (ends[0] - begin_ns, *gaps) if gap > 0]
        assert len(found) <= 1
        lengths += found
    assert len(lengths) > 100
    assert min(lengths) >= 5_000_000
    assert max(lengths) <= 40_000_000
    assert max(lengths) > 35_000_000
    at_ns, whole_ns = 0, again.past(0, 3_000_000 * 999)
    for _ in range(999):
        at_ns = stalls.past(at_ns, 3_000_000)
    assert at_ns == whole_ns > 3_000_000 * 999 * 1.1


@pytest.mark.parametrize("every", ["1us", "7us", "300us"])
def test_what_lasts_for_many_windows_ends_where_it_would_in_small_parts(every: str) -> None:
    """Those that it covers whole are not looked into."""
    length = {"p50": "100ns", "p90": "300ns", "most": "500ns"}
    costs = StallCalibration.model_validate({"every": every, "length": length})
    for seed in range(20):
        draw = Random(seed)
        at_ns, parts = draw.randrange(1_000_000), [draw.randrange(400) for _ in range(500)]
        begin_ns = at_ns
        for part in parts:
            at_ns = Stalls(costs, seed, 1).past(at_ns, part)
        assert Stalls(costs, seed, 1).past(begin_ns, sum(parts)) == at_ns


def test_stalls_that_take_no_time_are_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them was drawn, some million in a run of slow steps."""
    sections = [{"ranks": 2}, {"ranks": 2, "stalls": {"every": "1us"}}]
    plain = simulate_in_memory(quickly(calibration={"groups": sections[:1]}))
    monkeypatch.delattr(Stalls, "past")
    idle = simulate_in_memory(quickly(calibration={"groups": sections[1:]}))
    assert idle.requests == plain.requests


def test_a_stall_holds_up_all_that_meets_it() -> None:
    plain = simulate_in_memory(quickly(calibration={})).summary
    stalls = {"every": "100ms", "length": {"least": "50ms", "most": "50ms"}}
    groups = [{"ranks": 2, "collective": "40us", "stalls": stalls}]
    stalled = simulate_in_memory(quickly(calibration={"groups": groups})).summary
    assert stalled["rates"]["serving_s"] > 1.5 * plain["rates"]["serving_s"]
    gaps = stalled["latency"]["itl_s"]
    assert gaps["p50"] == plain["latency"]["itl_s"]["p50"]
    assert gaps["p99"] > 0.05


def test_a_group_gets_on_between_its_stalls() -> None:
    stalls = {"every": "100ms", "length": {"most": "51ms"}}
    with pytest.raises(
        ConfigError, match=r"groups\.0\.stalls.*51ms is more than half of the 100ms"
    ):
        quickly(calibration={"groups": [{"ranks": 2, "stalls": stalls}]})


def test_a_size_of_a_group_has_one_entry() -> None:
    with pytest.raises(ConfigError, match=r"calibration\.groups\.1\.ranks"):
        quickly(calibration={"groups": [{"ranks": 2}, {"ranks": 2}]})
    with pytest.raises(ConfigError, match="jitter"):
        quickly(calibration={"groups": [{"ranks": 2, "jitter": {"p50": "-1us"}}]})


def test_healthy_ranks_may_be_as_slow_as_they_were_measured() -> None:
    """A limit on waiting for a rank knows how long a calibrated iteration may take."""
    slow = [{"ranks": 2, "iteration": "40s"}]
    found = quickly(calibration={"groups": slow})
    assert found.hang_ns > 2 * 40e9
    result = simulate_in_memory(quickly(calibration={"groups": slow}, diagnosis={}))
    assert result.summary["exit_code"] == 0
