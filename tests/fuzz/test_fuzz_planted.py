"""Each oracle is shown to speak: a fault is planted in the product, and its hunter finds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from adpkv.config.legal_silence import LegalSilence
from adpkv.core.block_pool import BlockPool
from adpkv.core.record import RequestRecord
from adpkv.errors import DeadlockError
from adpkv.transport.virtual import Network
from adpkv.transport.virtual_link import Link
from adpkv.worlds.virtual.pace import Pace
from adpkv.worlds.virtual.run import Simulation
from tests.fuzz import hunting
from tests.fuzz.experiments import Swarm, experiment
from tests.fuzz.hunters import BAD_INPUTS, HUNTERS, Hunt, good_folders, smaller
from tests.fuzz.hunting import Worker, bounded, hunted
from tests.fuzz.oracles import judge

pytestmark = pytest.mark.slow

SEEDS = 40
CLEAN = Swarm(given=0.0, extreme=0.0, faults=0, rare=0.0)
PLANTED = "planted by a test"


def first_find(hunter: str, kind: str = "", seeds: int = SEEDS) -> str:
    """What the first find of some seeds says, or the first that begins like this."""
    for seed in range(seeds):
        for wrong in hunted(hunter, seed).found:
            if wrong.startswith(kind):
                return wrong
    return "nothing"


def wrapped(
    monkeypatch: pytest.MonkeyPatch, of: type, name: str, change: Callable[..., Any]
) -> None:
    """Have `change(real, self, ...)` in place of a method."""
    real = getattr(of, name)
    monkeypatch.setattr(of, name, lambda self, *args, **kw: change(real, self, *args, **kw))


def test_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def release(*_: object) -> None:
        raise KeyError(PLANTED)

    monkeypatch.setattr(BlockPool, "release", release)
    assert PLANTED in first_find("whole")


def test_two_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(real: Any, job: Simulation, one: RequestRecord) -> None:
        real(job, one)
        real(job, one)

    wrapped(monkeypatch, Simulation, "_record", record)
    found = judge(experiment(1, CLEAN)).found
    assert any("a request has two records" in wrong for wrong in found)


def test_counts_that_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adpkv.output.Tally.add", lambda *_: None)
    assert any("0 ends of " in wrong for wrong in judge(experiment(1, CLEAN)).found)


def test_columns_that_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def columns(real: Any, record: RequestRecord) -> tuple[int, ...]:
        first, *rest = real(record)
        return (first + 1, *rest)

    wrapped(monkeypatch, RequestRecord, "columns", columns)
    assert "columns: " in first_find("whole")


def test_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BlockPool, "release", lambda *_: [])
    found = judge(experiment(1, CLEAN)).found
    assert any("blocks are held after the end" in wrong or "leak" in wrong for wrong in found)


def test_a_run_that_is_another_the_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    drift = count()

    def init(real: Any, network: Network, ranks: int, latency_ns: int, *rest: Any) -> None:
        real(network, ranks, latency_ns + next(drift), *rest)

    wrapped(monkeypatch, Network, "__init__", init)
    assert "events differ" in first_find("whole", "again: ")


def test_jumping_that_changes_something(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(real: Any, pace: Pace, **kw: Any) -> None:
        kw["collective_ns"] += not kw["jump"]
        real(pace, **kw)

    wrapped(monkeypatch, Pace, "__init__", init)
    assert first_find("whole").startswith("not jumped: ")


def test_a_clean_run_that_is_called_ill(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits are not stretched by what a legal step takes."""
    asked = {"at": "0s", "prompt_tokens": 64, "output_tokens": 4, "times": 3, "every": "1s"}
    data = experiment(1, CLEAN) | {
        "transceiver": {"progress_deadline": "1s", "shutdown_grace": "1s"},
        "model": {"step_base": "4s"},
        "workload": {"kind": "script", "requests": [asked]},
    }
    assert judge(data).found == []
    monkeypatch.setattr(
        "adpkv.config.experiment.legal_silence", lambda *_: LegalSilence(0, 0, 0, 0)
    )
    assert any(wrong.startswith("clean, and ") for wrong in judge(data).found)


IMPATIENT = ("ends with", "ill", "transfers in doubt", "a sender gave up first", "told twice")


def test_limits_that_do_not_fit_what_they_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "adpkv.config.experiment.legal_silence", lambda *_: LegalSilence(0, 0, 0, 0)
    )
    found = [wrong for seed in range(SEEDS) for wrong in hunted("limits", seed).found]
    told = [wrong for wrong in found if wrong.startswith("clean, and ")]
    assert [what for what in IMPATIENT if not any(what in wrong for wrong in told)] == []


def test_a_duration_that_no_key_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(real: Any, network: Network, ranks: int, latency_ns: int, *rest: Any) -> None:
        real(network, ranks, latency_ns + 1000, *rest)

    wrapped(monkeypatch, Network, "__init__", init)
    assert "doubled events differ" in first_find("doubled")


def test_a_rank_that_is_not_like_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(real: Any, network: Network, transfer: Any) -> None:
        slower = Link(network._bandwidth // (1 + transfer.sender))
        network._links.setdefault(transfer.sender, slower)
        real(network, transfer)

    wrapped(monkeypatch, Network, "begin", begin)
    # Few experiments have transfers that wait for the link of a rank, and for nothing else.
    assert first_find("permuted", seeds=4 * SEEDS).startswith("permuted: ")


def test_a_fault_that_was_a_help(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(real: Any, job: Simulation, *args: Any) -> Any:
        if any(not fault.probability for fault in job.experiment.faults):
            raise DeadlockError(PLANTED)
        return real(job, *args)

    wrapped(monkeypatch, Simulation, "run", run)
    assert "and without fault" in first_find("relieved")


@pytest.mark.parametrize(
    ("hunter", "planted"),
    [
        ("text", "adpkv.config.loading.validate"),
        ("values", "adpkv.config.loading.validate"),
        ("override", "adpkv.config.overrides.apply"),
        ("trace", "adpkv.workload.reading.notice"),
        ("run_folder", "adpkv.output.story.read_stories"),
        ("line", "adpkv.output.story_text.story_lines"),
    ],
)
def test_a_traceback_for_a_users_mistake(
    monkeypatch: pytest.MonkeyPatch, hunter: str, planted: str
) -> None:
    """In a process of its own, which is forked and so has it planted too."""

    def give_up(*_: object, **__: object) -> None:
        raise TypeError(PLANTED)

    good_folders()  # made by what is planted below, if nobody has made them yet
    monkeypatch.setattr(planted, give_up)
    found = first_find(hunter)
    assert "70" in found
    assert PLANTED in found
    assert hunter in BAD_INPUTS


def test_a_folder_that_a_refused_start_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adpkv.output.folder.RunFolder.withdraw", lambda _: None)
    monkeypatch.setattr("adpkv.worlds.virtual.run.build_workload", _refuse)
    monkeypatch.setattr("adpkv.worlds.virtual.run.check_memory", lambda _: None)
    # The folder is made before the workload is read.
    monkeypatch.setattr("adpkv.worlds.virtual.run.RunFolder.begin", _refuse)
    monkeypatch.setattr("adpkv.worlds.virtual.run.build_workload", lambda _: None)
    assert first_find("told").startswith("code 2, and leaves ")


def _refuse(*_: object) -> None:
    from adpkv.errors import UsageError

    raise UsageError(PLANTED)


# -- shrinking ---------------------------------------------------------------------------------


def test_a_find_is_shown_without_what_it_does_not_need(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(real: Any, job: Simulation, *args: Any) -> Any:
        if job.experiment.faults:
            raise KeyError(PLANTED)
        return real(job, *args)

    wrapped(monkeypatch, Simulation, "run", run)
    seed = next(seed for seed in range(SEEDS) if len(experiment(seed)["faults"]) > 2)
    less = yaml.safe_load(smaller("whole", seed))
    assert set(less) == {"name", "topology", "workload", "faults"}
    assert len(less["faults"]) == 1
    assert smaller("whole", next(s for s in range(SEEDS) if not experiment(s)["faults"])) == ""


# -- bounds ------------------------------------------------------------------------------------


def spin(seed: int, folder: Path) -> Hunt:
    bounded(lambda: all(True for _ in count()), 0.05)
    raise AssertionError("is over")


def eat(seed: int, folder: Path) -> Hunt:
    return Hunt(str(len(bytearray(2 << 30))))


def die(seed: int, folder: Path) -> Hunt:
    import os

    if seed == 2:
        os._exit(seed)
    return Hunt("")


@pytest.fixture
def told_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[list[str]]]]:
    """What a worker tells of a hunter that is not one of ours."""
    worker = Worker()

    def told(hunter: Callable[[int, Path], Hunt], seeds: range) -> list[list[str]]:
        monkeypatch.setattr(hunting, "HUNTERS", {**HUNTERS, "planted": hunter})
        worker.give("planted", seeds)
        reports = []
        while worker.busy:
            reports += list(worker.reports())
        return [report.hunt.found for report in reports]

    yield told
    worker.stop()


def test_what_takes_too_long(told_of: Any) -> None:
    ((found,),) = told_of(spin, range(1))
    assert "of processor time" in found


def test_what_takes_too_much_memory(told_of: Any) -> None:
    ((found,),) = told_of(eat, range(1))
    assert "MemoryError" in found


def test_a_worker_that_fails_is_told_and_replaced(told_of: Any) -> None:
    """Seed 2 kills it; the next are hunted by another."""
    assert told_of(die, range(5)) == [[], [], ["its process failed: 2"], [], []]
