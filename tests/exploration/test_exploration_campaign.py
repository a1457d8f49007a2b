"""An exploration: the same whoever makes it, kept as it goes, merged by signature."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import adpkv
from adpkv.config import load
from adpkv.config.shipped import shipped_file
from adpkv.core.fleet import Fleet
from adpkv.core.topology import Instance
from adpkv.errors import UsageError
from adpkv.exploration import batch
from adpkv.exploration.batch import BatchResult, Task, perform
from adpkv.exploration.calling import Bounds, explore_into
from adpkv.exploration.campaign import Campaign, Plan, plan_for, run_campaign
from adpkv.exploration.cases import Case
from adpkv.exploration.clauses import CLAUSES
from adpkv.exploration.drawing import draw
from adpkv.exploration.folder import ExplorationFolder
from adpkv.exploration.over_mpi import Ranks
from adpkv.exploration.pool import Here, Lost, local_pool
from adpkv.exploration.replay_file import read_text
from adpkv.exploration.result import UNCOUNTED, exit_code_of
from adpkv.exploration.trial import Trial, attempt
from adpkv.exploration.variation import variation
from adpkv.worlds.virtual.world import VirtualWorld

POLICY = {"policy.responses": "owner"}
SETTING = {"policy__responses": "owner"}


def plan(strategy: str = "random", last: int = 40, **changes: object) -> Plan:
    path = shipped_file("explore")
    assert path is not None
    experiment = load(path, {key.replace("__", "."): value for key, value in changes.items()})
    return plan_for(experiment, strategy, 0, last)


@pytest.mark.parametrize("strategy", ["random", "pct:3", "guided"])
def test_a_batch_is_the_same_each_time(strategy: str) -> None:
    task = next(Campaign(plan(strategy, 12)).tasks())
    one, other = perform(task), perform(task)
    assert msgspec.structs.replace(one, wall_s=0.0) == msgspec.structs.replace(other, wall_s=0.0)
    assert one.counts == {}
    assert one.twice == 1
    assert one.differed == []


def test_a_probe_that_admission_refuses_has_its_answer() -> None:
    """Not so before it was known: 10 of these seeds found `not_recovered`."""
    changes = {"admission.requests": 1, "topology.context.instances": 2}
    found = adpkv.explore("explore", set=changes, seeds=(0, 40), jobs=1)
    assert (found.exit_code, [*found.finds]) == (0, [])


@pytest.mark.parametrize("limit", ["requests", "tokens"])
def test_a_refusal_by_a_leak_of_what_waits_is_found(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused request is no failure, so nothing else would tell."""

    def leaking(self: Fleet, instance: Instance, request_id: int, tokens: int) -> None:
        if request_id % 3:
            take(self, instance, request_id, tokens)

    take = Fleet.take
    changes = {f"admission.{limit}": 90}
    assert adpkv.explore("explore", set=changes, seeds=(0, 3), jobs=1).exit_code == 0
    monkeypatch.setattr(Fleet, "take", leaking)
    changes = {f"admission.{limit}": 2}
    found = adpkv.explore("explore", set=changes, seeds=(0, 9), jobs=1)
    assert [one.signature for one in found.finds] == ["wrong_admission"]


def test_finds_are_merged_and_the_first_one_is_made_small() -> None:
    found = adpkv.explore("explore", set=POLICY, seeds=(0, 6), jobs=1)
    assert found.exit_code == adpkv.ExitCode.DEADLOCK
    assert found.outcome == "stuck"
    (one,) = found.finds
    assert one.signature == "mismatch:tp_allgather@sync|tp_gather@respond"
    assert one.seed == 0
    assert one.count >= 3
    assert one.requests == 1
    data = json.loads(json.dumps(found.data()))
    assert data["finds"][0]["token"].startswith("adpkv1.")
    assert data["coverage"]["faults"]


def test_it_ends_at_the_first_find_and_not_with_its_batch(tmp_path: Path) -> None:
    """What was broken off is no batch that is done: who goes on runs it whole."""
    folder = ExplorationFolder.create(plan(last=8, **SETTING), tmp_path / "out")
    ended = explore_into(folder, local_pool(1), Bounds(most_finds=1, shrink_s=0))
    assert (ended.seeds, len(ended.finds)) == (1, 1)
    folder.close()
    again = ExplorationFolder.resume(tmp_path / "out")
    whole = explore_into(again, local_pool(1), Bounds(shrink_s=0))
    assert whole.seeds == 8
    assert whole.finds[0].count > 1


def test_what_others_have_found_meanwhile_ends_no_batch() -> None:
    """A task is given with how many finds are left then; another one may have met them."""
    campaign = Campaign(plan(last=12, **SETTING))
    run_campaign(campaign, _Ahead(), most_finds=2)
    assert (campaign.seeds, campaign.done) == (12, {0})


class _Ahead(Here):
    """Says of each task that it was broken off behind its first find."""

    def give(self, task: Task) -> None:
        super().give(msgspec.structs.replace(task, most_finds=1))


def test_a_clean_exploration_reaches_something_and_leaves_its_files(tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = adpkv.explore("explore", seeds=(0, 110), jobs=2, out=out)
    assert found.exit_code == 0
    assert found.seeds == 110
    assert found.twice == 2
    shares = found.coverage.shares()
    assert shares["clauses"].reached > 15
    assert shares["receiver_lines"].reached > 20
    assert json.loads((out / "explore.json").read_text())["outcome"] == "clean"
    page = (out / "coverage.html").read_text()
    assert "class=never" in page
    assert "class=many" in page
    assert "<td class='none w'>a virtual link can end a transfer early</td>" in page
    assert adpkv.explore("explore", seeds=(0, 110), jobs=1).coverage.counts == found.coverage.counts


def test_what_a_policy_leaves_uncounted_is_not_shown_as_never_reached(tmp_path: Path) -> None:
    policy = {"policy.reap": "when_scheduled"}
    found = adpkv.explore("explore", set=policy, seeds=(0, 2), jobs=1, out=tmp_path / "out")
    assert found.shares()["sender lines"] == UNCOUNTED
    ruled = sum(clause.is_ruled for clause in CLAUSES)
    assert found.shares()["clauses"].endswith(f"/{len(CLAUSES) - ruled}")
    page = (tmp_path / "out" / "coverage.html").read_text()
    assert page.count(UNCOUNTED) == 4
    assert page.count("<td class=none>not counted</td>") == ruled
    assert "a full hit is a notification</td><td class=none>" in page
    assert "Session table" not in page
    assert "Answers to cancels" not in page


def test_who_is_found_decides_about_the_code() -> None:
    found = adpkv.explore("explore", set={"policy.reap": "when_scheduled"}, seeds=(0, 2), jobs=1)
    assert found.exit_code == adpkv.ExitCode.VIOLATION
    assert exit_code_of([], complete=False) == adpkv.ExitCode.INCOMPLETE
    assert exit_code_of([], [7]) == adpkv.ExitCode.VIOLATION


def test_it_goes_on_where_it_was_halted(tmp_path: Path) -> None:
    whole = plan("random", 300)
    folder = ExplorationFolder.create(whole, tmp_path / "out")
    first, second, third = folder.campaign.tasks()
    folder.keep(perform(msgspec.structs.replace(second, last=second.first + 3)))
    folder.close()
    journal = tmp_path / "out" / "batches.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"number":0,"fir')  # killed as it wrote
    again = ExplorationFolder.resume(tmp_path / "out")
    assert list(again.campaign.tasks()) == [first, third]
    assert again.campaign.seeds == 3
    again.close()


def test_a_time_ends_a_batch_and_who_goes_on_begins_behind_it(tmp_path: Path) -> None:
    folder = ExplorationFolder.create(plan(last=30), tmp_path / "out")
    begun = explore_into(folder, local_pool(1), Bounds(for_s=1e-3))
    folder.close()
    assert begun.seeds == 1
    again = ExplorationFolder.resume(tmp_path / "out")
    (task,) = again.campaign.tasks()
    assert (task.first, task.last) == (1, 30)
    whole = explore_into(again, local_pool(1), Bounds())
    assert (whole.seeds, whole.twice) == (30, 1)
    assert whole.coverage.counts == adpkv.explore("explore", seeds=(0, 30), jobs=1).coverage.counts
    again.close()
    assert not list(ExplorationFolder.resume(tmp_path / "out").campaign.tasks())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"seeds": range(9)},
            r"^seeds range\(0, 9\): give the first seed and the one after the last",
        ),
        ({"seeds": range(5, 7)}, r"^seeds range\(5, 7\): give the first seed"),
        ({"seeds": ("a", 2)}, "^seeds"),
        ({"jobs": "2"}, "^jobs '2': must be a whole number"),
        ({"finds": 1.5}, "^finds 1.5: must be a whole number"),
        ({"for_s": "10m"}, "^for_s '10m': must be a number of seconds"),
        ({"strategy": 3}, "^strategy 3: must be a text"),
        ({"on_progress": 3}, "^on_progress 3: must be what can be called"),
    ],
)
def test_an_argument_of_another_type_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        adpkv.explore("explore", **given)


def test_a_batch_of_many_ranks_is_short() -> None:
    assert plan().batch == 100
    assert plan("guided").batch == 1000
    assert plan(topology__context__ranks=30).batch == 12


def test_the_folder_of_another_experiment_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    ExplorationFolder.create(plan(), out).close()
    with pytest.raises(
        UsageError, match=r"is of another experiment \(explore\): kv_cache differs$"
    ):
        ExplorationFolder.resume(out, plan(kv_cache__blocks=20))
    with pytest.raises(UsageError, match=r"is of --strategy random"):
        ExplorationFolder.resume(out, plan("guided"))
    with pytest.raises(UsageError, match="there is an exploration in it"):
        ExplorationFolder.create(plan(), out)
    with pytest.raises(UsageError, match="no exploration's folder"):
        ExplorationFolder.resume(tmp_path / "nowhere")
    (out / "batches.jsonl").write_text("{}\n")
    with pytest.raises(UsageError, match=r"batches.jsonl:1: this is no exploration's journal"):
        ExplorationFolder.resume(out)


class Dies(Here):
    """A pool whose worker is lost at a seed."""

    seed = 7

    def results(self, timeout_s: float) -> list[BatchResult | Lost]:
        task: Task | None = self._task
        if task is not None and task.first <= self.seed < task.last:
            self._task = None
            return [Lost(task, self.seed, "its process ended with 139")]
        return super().results(timeout_s)


def test_a_seed_that_kills_its_worker_is_a_find_and_costs_no_other() -> None:
    campaign = Campaign(plan(last=20))
    kept: list[BatchResult] = []
    run_campaign(campaign, Dies(), keep=kept.append)
    assert set(campaign.finds) == {"worker_lost"}
    find = campaign.finds["worker_lost"]
    assert (find.seed, find.detail) == (7, "its process ended with 139")
    case = read_text(find.file, "a file").case  # nobody could write its choices down
    assert case == draw(variation(load(shipped_file("explore"))), 7)
    assert campaign.seeds == 20
    assert sum(result.last - result.first for result in kept) == 20


@pytest.mark.parametrize("over_mpi", [False, True])
def test_an_error_of_what_judges_a_run_names_its_seed_and_costs_no_other(
    monkeypatch: pytest.MonkeyPatch, over_mpi: bool
) -> None:
    """With `--jobs 1`, and on a rank of an MPI job, whose executor is here one of threads."""

    def judged(case: Case, **more: Any) -> Trial:
        if case.experiment.seed == 7:
            raise LookupError("planted")
        return attempt(case, **more)

    monkeypatch.setattr(batch, "attempt", judged)
    campaign = Campaign(plan(last=20))
    with ThreadPoolExecutor(1) as ranks:
        run_campaign(campaign, Ranks(ranks, 1) if over_mpi else Here())
    find = campaign.finds["worker_lost"]
    assert (find.seed, campaign.seeds, len(campaign.finds)) == (7, 20, 1)
    assert find.detail.startswith("LookupError: planted (test_exploration_campaign.py:")


@pytest.mark.parametrize(
    ("file", "place"),
    [
        ("/clone/adpkv/.venv/lib/other.py", "adpkv/worlds/virtual/run.py:"),  # a clone has our name
        ("adpkv/core/compiled.py", "adpkv/core/compiled.py:1)"),  # as mypyc names them
    ],
)
def test_a_bug_where_a_job_is_put_together_is_a_find_with_its_place(
    monkeypatch: pytest.MonkeyPatch, file: str, place: str
) -> None:
    def planted(*_: object) -> None:
        exec(compile("raise KeyError('planted')", file, "exec"))

    monkeypatch.setattr(VirtualWorld, "watch_inbox", planted)
    campaign = Campaign(plan(last=3))
    run_campaign(campaign, Here())
    (find,) = campaign.finds.values()
    assert (find.signature, find.exit_code) == ("error:KeyError:'planted'", 70)
    said = f"as its job was put together: KeyError: 'planted' ({place}"
    assert find.detail.startswith(said)
    assert campaign.counts == {find.signature: 3}
    assert read_text(find.file, "a file").signature == find.signature


@pytest.mark.parametrize("strategy", ["pct", "pct:0", "pct:x", "best", "random:3"])
def test_a_strategy_that_is_not_known_is_refused(strategy: str) -> None:
    with pytest.raises(UsageError, match=f"--strategy {strategy}"):
        plan(strategy)


def test_no_seeds_are_refused() -> None:
    with pytest.raises(UsageError, match="--seeds 0:0"):
        plan(last=0)


def test_numbers_of_numpy_are_numbers_and_true_is_none() -> None:
    changes = {"workload.requests": 4}
    found = adpkv.explore(
        "explore", set=changes, seeds=(np.int64(0), np.int64(2)), jobs=np.int32(1),
        finds=np.int16(1), for_s=np.float32(600),
    )  # fmt: skip
    again = adpkv.explore("explore", set=changes, seeds=(0, 2), jobs=1)
    assert found.seeds == again.seeds == 2
    assert found.coverage.counts == again.coverage.counts
    several: list[dict[str, Any]] = [
        {"jobs": True}, {"finds": True}, {"for_s": True}, {"seeds": (False, True)},
        {"seeds": (0, 1.5)}, {"seeds": (0, np.array([1, 2]))}, {"jobs": 1.0}, {"strategy": None},
    ]  # fmt: skip
    for refused in several:
        (name,) = refused
        with pytest.raises(UsageError, match=f"{name} .*: (must be|give)"):
            adpkv.explore("explore", **refused)
