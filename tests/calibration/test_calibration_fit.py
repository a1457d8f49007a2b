"""`adpkv calibrate` finds what it is meant to: on timelines that simulations make for it."""

from __future__ import annotations

import json
import os
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from adpkv.calibration.calling import Calibration, calibrated, places
from adpkv.calibration.crowding import alike, by_crowding
from adpkv.calibration.errors import Error
from adpkv.calibration.fit import fitted
from adpkv.calibration.iterations import WORK, Iteration, Made
from adpkv.calibration.noise import as_durations
from adpkv.calibration.samples import Message, RunSamples, StepSample, _check_whole, read_run
from adpkv.calibration.showing import as_text, as_told, as_values
from adpkv.calibration.stalls import told
from adpkv.calibration.ways import arrived_after
from adpkv.cli.app import app
from adpkv.config import parse
from adpkv.config.calibration import PROBABILITIES, Spread
from adpkv.errors import AdpkvError, UsageError
from adpkv.executor.collectives import WORLD
from adpkv.timeline.reader import Joined
from adpkv.worlds.virtual.draws import drawing
from adpkv.worlds.virtual.run import simulate
from tests.cli.forked import adpkv

DATA: dict[str, Any] = {
    "name": "fit",
    "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
    "workload": {
        "kind": "closed_loop", "users": 4, "requests": 40,
        "prompt_tokens": {"min": 16, "max": 64}, "output_tokens": {"min": 4, "max": 16},
    },
    "observe": {"timeline": True},
}  # fmt: skip


def samples(iterations: int = 600) -> RunSamples:
    """A machine whose costs are known: 100 us more a step, 30 us a collective; an iteration 500 us
    and 20 us a sequence; any post 200 us and each 50 us, 1 us a KiB that came, 300 us and 10 us a
    block a request that is asked for, and twice in a hundred a stall of 8 and then 12 ms."""
    run = RunSamples(Path("run"), parse(DATA, "fit"), {}, [], start_ns=7_000_000)
    at_ns = 0
    for number in range(iterations):
        batch = (0, 0, 1 + number % 7, 100)
        one = Iteration(0, 2, at_ns, 0, ((4e6, batch), (3e6, batch)))
        posts, came, asked = number % 3, 64.0 * (number % 5), number % 4
        for what, times, blocks, kib in (
            ("posted", posts, 0, 0.0), ("received", int(came > 0), 0, came),
            ("advertised", asked, 3 + number % 11, 0.0),
        ):  # fmt: skip
            for turn in range(times):
                last = turn == times - 1
                one.add(what, turn % 2, blocks if last else 0, kib if last else 0.0)
                # The other rank does less, at the same time: that takes no longer.
                one.add(what, 1 - turn % 2, 0, kib / 2 if last else 0.0)
        stalled = {50: 8e6, 51: 12e6}.get(number % 100, 0)
        one.took_ns = round(
            4e6 + 100_000 + 4 * 30_000 + 500_000 + 20_000 * (1 + number % 7)
            + 200_000 * (posts > 0) + 2 * 50_000 * posts + 1000 * came
            + 300_000 * (asked > 0) + 10_000 * (3 + number % 11) * (asked > 0)
            + (number * 7919 % 100) * 1000 + stalled
        )  # fmt: skip
        at_ns += one.took_ns
        run.iterations.append(one)
        run.steps.append(StepSample(2, 4e6, 4_100_000, batch))
        run.collectives[2].append(30_000)
        idle = Iteration(0, 2, at_ns, 250_000)
        if number % 2:
            idle.add("advertised", 0, 5, 0.0)
            idle.took_ns += 300_000 + 5 * 10_000
        run.idle.append(idle)
        # Of a message's way, what its iteration did until then is not its own.
        sent = Iteration(0, 2, at_ns)
        sent.add("advertised", 1, 9, 0.0)
        run.to_coordinator.append(Message(1_390_000 + number, sent, None))
    run.posted.append(120_000)
    run.seen.append(50_000)
    # A reader looks every 2 ms; a message is under way for 100 to 500 us, evenly.
    run.from_coordinator += [
        (gap_ns, gap_ns >= 100_000 + gap_ns * 7919 % 400_000)
        for gap_ns in range(0, 2_000_000, 1000)
    ]
    return run


def test_a_machine_whose_costs_are_known_is_found() -> None:
    found = fitted([samples()])
    (group,) = found.groups
    assert found.start_ns == 7_000_000
    assert float(found.step.base_ns) == pytest.approx(100_000, rel=0.01)
    assert group.ranks == 2
    assert group.collective_ns == 30_000
    assert group.idle_ns == pytest.approx(250_000 - 3 * 30_000, rel=0.1)
    assert group.iteration_ns + group.jitter.p50_ns == pytest.approx(550_000, rel=0.1)
    assert float(group.sequence_ns) == pytest.approx(20_000, rel=0.2)
    assert float(found.transfers.posted.once_ns) == pytest.approx(200_000, rel=0.2)
    assert float(found.transfers.posted.each_ns) == pytest.approx(50_000, rel=0.2)
    assert float(found.transfers.received.kib_ns) == pytest.approx(1000, rel=0.3)
    assert float(found.requests.advertised.once_ns) == pytest.approx(300_000, rel=0.1)
    assert float(found.requests.advertised.block_ns) == pytest.approx(10_000, rel=0.2)
    assert found.messages.to_coordinator.p50_ns == pytest.approx(1e6, rel=0.02)
    assert found.transfers.latency_ns == pytest.approx(100_000)
    assert found.messages.from_coordinator.p50_ns == pytest.approx(300_000, rel=0.15)


def test_slow_iterations_in_a_row_are_one_stall_and_no_noise() -> None:
    run = samples()
    (group,) = fitted([run]).groups
    assert group.stalls.length.p50_ns == pytest.approx(20e6, rel=0.05)
    whole_ns = sum(one.took_ns for one in run.iterations)
    assert group.stalls.every_ns == pytest.approx(whole_ns / 6, rel=0.01)
    assert group.jitter.longest_ns < 200_000
    # Three of them do not say how often there are any: they are noise.
    (group,) = fitted([samples(300)]).groups
    assert group.stalls.every_ns == 0
    assert group.jitter.longest_ns > 10e6


NOISE = {
    "half below 0": lambda made: made.lognormal(12, 1.0, 20_000) - 150_000,
    "a long tail": lambda made: made.lognormal(11, 1.5, 20_000),
    "a fifth below 0": lambda made: 1e5 * (made.lognormal(0, 0.6, 20_000) - 0.6),
    "two fifths below 0": lambda made: made.normal(20_000, 100_000, 20_000),
    "two kinds": lambda made: np.where(made.random(20_000) < 0.16, 1e3, 1e6 + made.random(20_000)),
}


@pytest.mark.parametrize("kind", NOISE)
def test_what_is_drawn_is_as_long_on_average_as_what_was_measured(kind: str) -> None:
    noise = NOISE[kind](np.random.default_rng(7))
    mean, measured = float(np.mean(noise)), np.quantile(noise, PROBABILITIES)
    found = as_durations(noise)
    assert found.min() >= 0
    draw = drawing(Spread.model_validate(told(found)), 7, "test")
    assert sum(map(draw, range(100_000))) / 100_000 == pytest.approx(mean, rel=0.01)
    # All is less by the same, those of the tail too: no quantile moves by more.
    less = (measured - found)[found > 0]
    assert np.ptp(less) < 1
    assert np.abs(measured[measured > 0] - found[measured > 0]).max() <= abs(less[-1]) + 1
    # Of these only two kinds have lines below what was measured: there it is more.
    assert bool(less[-1] < 0) is (kind == "two kinds")


def test_noise_of_less_than_nothing_is_none() -> None:
    noise = np.random.default_rng(7).normal(-1000, 100_000, 1000)
    assert not as_durations(noise - float(np.mean(noise)) - 1).any()
    assert not as_durations(np.zeros(7)).any()
    assert as_durations(np.full(7, 3000.0)) == pytest.approx([3000.0] * len(PROBABILITIES))


def test_iterations_that_take_less_than_their_parts_count() -> None:
    """Else all the others' noise would be drawn for as many steps as there are."""
    run = samples()
    for number, one in enumerate(run.iterations):
        one.took_ns -= 900_000 * (number % 13 < 3)
    (group,) = fitted([run]).groups
    draw = drawing(group.jitter, 7, "test")
    drawn_ns = group.iteration_ns + sum(map(draw, range(100_000))) / 100_000
    assert drawn_ns == pytest.approx(549_500 - 900_000 * 3 / 13, rel=0.01)


def test_how_long_messages_are_under_way_is_told_by_whether_a_look_found_them() -> None:
    sure = [(100 * number, number >= 30) for number in range(100)]
    assert arrived_after(sure, [0.1, 0.5, 1.0]) == [3000, 3000, 3000]
    # Half of them take 1000, half 3000; one that was missed much later is no message that long.
    mixed = [(number, number >= 3000 or (number >= 1000 and number % 2 == 0))
             for number in range(0, 9000, 7)]  # fmt: skip
    found = arrived_after([*mixed, (8000, False)], [0.0, 0.25, 0.9, 1.0])
    assert found[0] == 0
    assert found[1] == pytest.approx(1000, abs=20)
    assert found[2] == pytest.approx(3000, abs=200)
    assert found[3] < 4000


def test_what_is_no_real_run_with_a_timeline_is_refused(tmp_path: Path) -> None:
    simulate(parse(DATA, "fit"), out=tmp_path / "virtual")
    simulate(parse({**DATA, "observe": {}}, "fit"), out=tmp_path / "without")
    with pytest.raises(UsageError, match="real runs"):
        calibrated([tmp_path / "virtual"], [])
    with pytest.raises(UsageError, match=r"observe\.timeline"):
        calibrated([tmp_path / "without"], [])
    with pytest.raises(UsageError, match="twice"):
        calibrated([tmp_path / "virtual"], [tmp_path / "virtual"])
    output = tmp_path / "calibration.yaml"
    argv = ["calibrate", str(tmp_path / "virtual"), "--output", str(output)]
    done = CliRunner().invoke(app, argv)
    assert isinstance(done.exception, UsageError)
    assert not output.exists()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("config.yaml", "", "nothing in it"),
        ("config.yaml", "a: [", "not YAML"),
        ("config.yaml", "- 1", "must be a mapping"),
        ("summary.json", "", "cannot be read"),
        ("summary.json", "[]", "is no summary"),
    ],
)
def test_a_run_whose_files_are_spoilt_is_refused(
    tmp_path: Path, name: str, content: str, told: str
) -> None:
    """An empty `config.yaml` is what a start leaves that was killed."""
    simulate(parse(DATA, "fit"), out=tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(AdpkvError, match=told) as refused:
        calibrated([tmp_path], [])
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("attention", ["data_parallel", "replicated"])
def test_what_is_moved_is_what_is_sent(tmp_path: Path, attention: str, reuse: bool) -> None:
    """Of a prompt whose beginning its receiver has already only the rest is posted, sent and
    received, as the simulation counts it; asked for and answered is all of it."""
    data = {
        **DATA,
        "topology": {**DATA["topology"], "attention": attention},
        "kv_cache": {"reuse": True, "reuse_received": reuse, "block_tokens": 16, "blocks": 256},
        "workload": {
            "kind": "closed_loop", "users": 4, "requests": 40,
            "prompt_tokens": {"min": 64, "max": 96}, "output_tokens": {"min": 4, "max": 8},
            "shared_prefix": {"groups": 2, "tokens": 64},
        },
    }  # fmt: skip
    folder = tmp_path / "run"
    simulate(parse(data, "fit"), out=folder)
    summary = json.loads((folder / "summary.json").read_text())
    moved = summary["transfers"]
    assert (moved["bytes_cached"] > 0) is reuse
    if reuse:
        assert moved["cached"] > 0  # some prompts are there in whole: for these nothing is sent
    (folder / "summary.json").write_text(json.dumps({**summary, "world": "mpi"}))
    run = read_run(folder)
    made = {what: Made() for what in WORK}
    for one in (*run.iterations, *run.idle):
        for (what, _), more in one.done.items():
            made[what] = Made(*map(add, made[what], more))
    for what in ("posted", "sent", "received"):
        assert made[what].kib == moved["bytes"] / 1024
        assert made[what].times == moved["completed"] - moved["cached"]
    assert made["answered"].blocks == sum(-(-one.prompt_tokens // 16) for one in run.records)


def test_ranks_that_share_cores_are_calibrated_by_those_that_do(tmp_path: Path) -> None:
    def run(name: str, ranks_per_core: float | None) -> RunSamples:
        found = samples()
        found.experiment = parse({**DATA, "name": name}, "fit")
        found.summary = {"ranks_per_core": ranks_per_core}
        return found

    roomy, own, four, eight = run("a", 0.25), run("b", 1.0), run("c", 2.0), run("d", 4.0)
    assert by_crowding([eight, own, four, roomy]) == {1.0: [own, roomy], 2.0: [four], 4.0: [eight]}
    assert alike([roomy, four, eight], own) == ([roomy], [four, eight])
    assert alike([roomy, own, four], run("e", 2.0)) == ([four], [roomy, own])
    # None is like it: the nearest.
    assert alike([own, four, eight], run("e", 3.5)) == ([eight], [own, four])
    assert alike([], own) == ([], [])
    # A run that does not say it is like those with as many ranks.
    silent = run("e", None)
    assert alike([silent, own], run("f", None))[0] == [silent]
    parts = [Calibration(shared, fitted([roomy]), ["a"]) for shared in (1.0, 2.0)]
    assert places(Path("x/c.yaml"), parts[1:]) == [Path("x/c.yaml")]
    files = places(Path("x/c.yaml"), parts)
    assert [file.name for file in files] == ["c-1-ranks-a-core.yaml", "c-2-ranks-a-core.yaml"]
    assert "a core for each rank" in as_text(parts[0], "0")
    assert "for 2 ranks on a core" in as_told(files, parts)[1]


def test_several_sections_are_not_written_beside_what_is_no_file(tmp_path: Path) -> None:
    parts = [Calibration(shared, fitted([samples()]), ["a"]) for shared in (1.0, 2.0)]
    os.mkfifo(tmp_path / "pipe")
    for output in (Path("/dev/stdout"), Path("/dev/null"), tmp_path / "pipe", tmp_path):
        assert places(output, parts[:1]) == [output]
        with pytest.raises(UsageError, match="2 kinds, each with a file of its own: name a file"):
            places(output, parts)


@pytest.mark.parametrize(("said", "told"), [
    (2.0, "2 ranks on a core"),
    (None, "4 ranks on a core at most, as not all its runs say how many shared one"),
])  # fmt: skip
def test_what_no_run_says_is_told_as_not_known(
    tmp_path: Path, said: float | None, told: str
) -> None:
    simulate(parse(DATA, "fit"), out=tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    summary |= {"world": "mpi", "ranks_per_core": said}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    found, errors = calibrated([tmp_path], [])
    comment = as_text(found[0], "0").partition("calibration:")[0]
    assert comment.replace("\n# ", " ").endswith(f"on fit: {told}\n")
    assert as_values(found, errors)["calibrations"][0]["ranks_per_core"] == said


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["text", "json"])
def test_a_section_that_goes_on_in_an_open_file_has_nothing_told_in_it(
    tmp_path: Path, more: list[str]
) -> None:
    simulate(parse(DATA, "fit"), out=tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    (tmp_path / "summary.json").write_text(json.dumps({**summary, "world": "mpi"}))
    done = adpkv(tmp_path, "calibrate", ".", "--out", "/dev/stdout", *more)
    assert done.returncode == 0, done.stderr
    assert list(yaml.safe_load(done.stdout)) == ["calibration"]
    assert '"calibrations"' in done.stderr if more else "append it to" in done.stderr


def test_runs_of_other_kinds_tell_only_what_work_costs() -> None:
    own, other = samples(), samples()
    own.summary, other.summary = {"ranks_per_core": 2}, {"ranks_per_core": 4}
    for one in own.iterations:
        if one.done.pop(("received", 0), None) is not None:
            one.took_ns -= round(1000 * one.done.pop(("received", 1)).kib * 2)
    for one in other.iterations:
        one.took_ns += 3_000_000  # they wait for their cores
    alone, both = fitted([own]), fitted([own], [other])
    assert alone.transfers.received.kib_ns == 0
    assert float(both.transfers.received.kib_ns) == pytest.approx(1000, rel=0.3)
    assert both.groups[0].ranks == alone.groups[0].ranks
    assert both.groups[0].iteration_ns == pytest.approx(alone.groups[0].iteration_ns, abs=20_000)
    assert both.groups[0].jitter.p50_ns == pytest.approx(alone.groups[0].jitter.p50_ns, abs=50_000)


def test_records_that_are_cut_off_are_not_taken_for_a_run() -> None:
    whole = [joined(0, 2, "step"), joined(WORLD, 2, "leave")]
    _check_whole(Path("run"), [whole, [], whole])  # type: ignore[list-item]  the coordinator's
    with pytest.raises(UsageError, match="records of rank 2 end before the run did"):
        _check_whole(Path("run"), [whole, whole[:1]])  # type: ignore[list-item]


def joined(group: int, rank: int, site: str) -> Joined:
    return Joined(group, rank, 1, 1, "", site, 0, 0, 0, 0, (0, 0, 0, 0))


def test_a_figure_is_held_to_its_bar_or_to_twice_the_spread() -> None:
    def error(figure: str, simulated_s: float, spread: float) -> Error:
        return Error("one", figure, 1.0, simulated_s, 0.5, spread, 2)

    assert error("ttft_p50", 1.04, 0.0).is_met
    assert not error("ttft_p50", 0.94, 0.0).is_met
    assert error("ttft_p50", 0.94, 0.04).is_met
    assert not error("ttft_p99", 1.11, 0.0).is_met
    assert error("ttft_p90", 2.0, 0.0).bar is None
    assert error("makespan", 1.04, 0.0).before == -0.5
