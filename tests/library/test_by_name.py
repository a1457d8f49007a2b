"""Workload, model, policy, memory and transport by name: `MODULE:FACTORY` or an entry point."""

from __future__ import annotations

import functools
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import adpkv
from adpkv.worlds.select_ports import chosen
from tests.library.by_name import ENTRY_POINTS, MODULE, install, site

__all__ = ["site"]

PARAMETERS = {"workload": {"total": 12, "tokens": [64, 4]}, "model": {"step_ms": 1}}
BY_MODULE = {
    "workload": {"kind": f"{MODULE}:Burst", **PARAMETERS["workload"]},
    "model": {"kind": f"{MODULE}:Constant", **PARAMETERS["model"]},
    "router.policy": f"{MODULE}:LastRank",
    "kv_cache.memory": f"{MODULE}:memory",
    "transceiver.transport": f"{MODULE}:link",
}
BY_ENTRY_POINT = {
    "workload": {"kind": "burst", **PARAMETERS["workload"]},
    "model": {"kind": "constant", **PARAMETERS["model"]},
    "router.policy": "last_rank",
    "kv_cache.memory": "elsewhere",
    "transceiver.transport": "either",
}


def by_name(names: dict[str, Any], **more: Any) -> adpkv.Result:
    return adpkv.simulate("quickstart", set=names, **more)


@pytest.fixture
def brought(site: Path) -> Any:
    import burst_and_co  # type: ignore[import-not-found]

    return burst_and_co


def test_a_name_is_the_object_that_it_stands_for(brought: Any) -> None:
    as_objects = adpkv.simulate(
        "quickstart",
        workload=lambda experiment: brought.Burst(12, experiment),
        model=brought.Constant(1),
        policy=brought.LastRank(),
        memory=brought.memory,
        transport=brought.link,
    )
    # Rank 7 first, and the next ones while it has its share of the transfers from rank 3.
    assert {one.generation_rank for one in as_objects.requests} == {5, 6, 7}
    assert as_objects.summary.transfers.completed == 12
    for names in (BY_MODULE, BY_ENTRY_POINT):
        found = by_name(names)
        assert found.outcome == "completed"
        assert found.requests == as_objects.requests
        assert found.events == as_objects.events


@pytest.mark.parametrize("key", BY_MODULE)
def test_each_of_them_makes_a_difference(site: Path, key: str) -> None:
    found = by_name({key: BY_MODULE[key]})
    ours = adpkv.simulate("quickstart")
    same = found.events == ours.events
    # A memory that is ours in all but its maker changes nothing; that it was made is seen below.
    assert same is (key == "kv_cache.memory")


def test_a_memory_by_name_is_made_for_each_rank(brought: Any, monkeypatch: Any) -> None:
    ranks = []

    def memory(setting: Any) -> Any:
        ranks.append((setting.rank, setting.world))
        return original(setting)

    original = brought.memory
    monkeypatch.setattr(brought, "memory", memory)
    by_name({"kv_cache.memory": "elsewhere"})
    assert ranks == [(rank, "virtual") for rank in range(8)]


def test_jumped_or_not_and_from_several_threads_it_is_the_same(site: Path) -> None:
    one = by_name(BY_MODULE)
    assert by_name(BY_MODULE, jump=False).events == one.events
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: by_name(BY_ENTRY_POINT), range(4)))
    assert all(other.events == one.events for other in found)


def test_the_names_and_parameters_stay_with_the_run(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = by_name(BY_ENTRY_POINT, out=out)
    text = (out / "config.yaml").read_text()
    for line in ("kind: burst", "  total: 12", "kind: constant", "  step_ms: 1", "either"):
        assert line in text
    assert by_name(found.experiment.model_dump(by_alias=True)).events == found.events
    again = adpkv.simulate(out / "config.yaml")
    assert again.events == found.events


def test_a_run_is_read_where_the_package_is_gone(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = by_name(BY_ENTRY_POINT, out=tmp_path / "out")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(site)])
    assert adpkv.load_run(tmp_path / "out").requests == found.requests
    with pytest.raises(adpkv.ConfigError, match=r"no package offers any in adpkv\.models"):
        adpkv.load(tmp_path / "out" / "config.yaml")


def test_reading_an_experiment_imports_nothing(site: Path) -> None:
    path = list(sys.path)
    adpkv.load("quickstart", set=BY_MODULE)
    adpkv.load("quickstart", set=BY_ENTRY_POINT)
    assert MODULE not in sys.modules
    by_name(BY_MODULE)
    assert MODULE in sys.modules
    assert sys.path == path


BROKEN = {
    "raises": "1 / 0",
    "exits": "import sys; sys.exit('not here')",
    "needs": "import not_installed_at_all",
    "torn": "class Half(:\n",
    "wrong": "def none(setting):\n    return None\n\nobject = object()\n\nclass Deaf:\n"
    "    worlds = ('mpi',)\n    def poll(self): ...\n\ndef one_world(setting): ...\n\n"
    "one_world.worlds = ('mpi',)\n\ndef fussy(setting, other): ...\n",
}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ({"workload": {"kind": "burts"}}, "workload.kind: is not known here: did you mean burst?"),
        ({"workload": {"kind": "nothing"}}, r"or an entry point: adpkv\.workloads has burst"),
        ({"model.kind": "a:b:c"}, "model.kind: must be MODULE:FACTORY, such as mypackage.module"),
        ({"model.kind": "a b"}, "model.kind: must be 'cost' or 'gemm', or MODULE:FACTORY"),
        ({"router.policy": 5}, "router.policy: must be text"),
        ({"router.policy": "round_robbin"}, "router.policy: .* did you mean round_robin"),
        ({"transceiver.transport": "nowhere:Link"}, "there is no module nowhere, here"),
        ({"transceiver.transport": "burst_and_co.deeper:W"}, "no module burst_and_co.deeper"),
        ({"transceiver.transport": f"{MODULE}:Link"}, "burst_and_co.py has no Link: .* link"),
        ({"transceiver.transport": f"{MODULE}:Plain"}, "is for mpi only, not for virtual"),
        ({"transceiver.transport": "wrong:one_world"}, "is for mpi only, not for virtual"),
        (
            {"transceiver.transport": "wrong:Deaf"},
            "is no Transport: it has no close, exp",
        ),
        ({"transceiver.transport": "wrong:none"}, "NoneType is no Transport"),
        ({"transceiver.transport": "wrong:fussy"}, "called with one TransportSetting .*'other'"),
        ({"router.policy": "wrong:object"}, "is no factory but an object"),
        ({"kv_cache.memory": "raises:M"}, r"it raised ZeroDivisionError: .* \(raises.py:1\)"),
        ({"kv_cache.memory": "exits:M"}, "it raised SystemExit: not here"),
        ({"kv_cache.memory": "needs:M"}, "No module named 'not_installed_at_all' .needs.py:1"),
        ({"kv_cache.memory": "torn:M"}, "it raised SyntaxError: .*torn.py, line 1"),
        ({"workload": {"kind": "burst", "totl": 3}}, "workload.totl: .* did you mean total"),
        ({"workload": {"kind": "burst"}}, "workload: burst needs more .* 'total'"),
        ({"workload": {"kind": "burst", "total": 0}}, "raised ValueError: a burst of none .burst"),
        (
            {"workload": {"kind": "burst", "experiment": 0}},
            "workload.experiment: is given to the fac",
        ),
        ({"workload": {"kind": "burst", "total": {1, 2}}}, "total must be made of text, numbers"),
        ({"workload": {"kind": "burst", "total": float("nan")}}, "parameters that YAML cannot say"),
        ({"model.step_ms": 3}, "model.step_ms: is not known here"),
        ({"model": {"kind": "constant", "step_ms": 1, "layers": 0}}, "model.layers: must be at l"),
        (
            {"model": {"kind": f"{MODULE}:LastRank"}},
            "model.kind: .* is no Model: .* line",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    site: Path, tmp_path: Path, names: dict[str, Any], told: str
) -> None:
    for name, text in BROKEN.items():
        (site / f"{name}.py").write_text(text)
    with pytest.raises(adpkv.UsageError, match=told):
        by_name(names, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_that_is_wrong_is_told_at_once(site: Path) -> None:
    with pytest.raises(adpkv.ConfigError) as found:
        by_name({"router.policy": "none:P", "kv_cache.memory": "none:M", "model": {"kind": "x:M"}})
    assert [line.partition(":")[0] for line in found.value.problems] == [
        "model.kind",
        "router.policy",
        "kv_cache.memory",
    ]


def test_a_name_that_two_packages_offer_is_neithers(site: Path) -> None:
    install(site, "another", ENTRY_POINTS.replace("co:Burst", "co:LastRank"))
    with pytest.raises(adpkv.UsageError, match="several packages offer 'burst': write burst_and"):
        by_name(BY_ENTRY_POINT)


def test_a_model_of_ones_own_says_how_patient_its_peers_must_be(site: Path) -> None:
    slow = {"kind": "constant", "step_ms": 40_000, "longest_step": "50s"}
    experiment = adpkv.load("quickstart", set={"model": slow, "workload.requests": 2})
    assert experiment.legal_silence.look_ns > 50_000_000_000
    assert adpkv.simulate(experiment).outcome == "completed"


def test_factories_are_given_to_real_ranks_by_their_names(
    brought: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from adpkv.worlds.mpi.launcher import calling

    asked: list[adpkv.Experiment] = []

    def called(experiment: adpkv.Experiment, out: Path, timeout_s: float | None) -> None:
        asked.append(experiment)
        adpkv.simulate(experiment, out=out)

    monkeypatch.setattr(calling, "call_run", called)
    with pytest.raises(adpkv.UsageError, match="model: constant needs more"):
        adpkv.run("quickstart", model="constant")
    adpkv.run(
        "quickstart",
        set={"model.layers": 2},
        workload=functools.partial(brought.Burst, total=3),
        model=functools.partial(brought.Constant, step_ms=1.5),
        policy=brought.LastRank,
        memory=brought.memory,
        transport=f"{MODULE}:link",
    )
    experiment = asked[-1]
    assert experiment.workload.model_dump() == {"kind": f"{MODULE}:Burst", "total": 3}
    assert experiment.model.kind == f"{MODULE}:Constant"
    assert experiment.model.layers == 2
    assert experiment.router.policy == f"{MODULE}:LastRank"


class Nested:
    class Inner: ...


@pytest.mark.parametrize(
    ("brought", "told"),
    [
        ({"policy": Nested()}, "policy: Nested is an object of this process"),
        ({"transport": lambda setting: None}, "ranks cannot import .*<lambda>"),
        ({"workload": functools.partial(Nested, 3)}, "give the arguments of the partial by name"),
        ({"policy": functools.partial(Nested, a=3)}, "router.policy takes no parameters"),
        ({"model": "nothing"}, "model.kind: must be 'cost'"),
        ({"model": functools.partial(Nested, a=object())}, "parameters that YAML cannot say: a"),
        ({"memory": 5}, "memory: int is an object of this process"),
    ],
)
def test_what_another_process_cannot_find_is_refused(
    brought: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adpkv.worlds.mpi.launcher import calling

    monkeypatch.setattr(calling, "call_run", lambda *_: pytest.fail("it was started"))
    with pytest.raises(adpkv.UsageError, match=told):
        adpkv.run("quickstart", **brought)


def test_what_is_named_otherwise_than_it_says_is_refused(
    brought: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = brought.LastRank
    monkeypatch.setattr(brought, "LastRank", brought.Burst)
    with pytest.raises(adpkv.UsageError, match="policy: burst_and_co:LastRank is not this type"):
        adpkv.run("quickstart", policy=original)


def test_ports_that_were_chosen_stay(site: Path) -> None:
    experiment = adpkv.load("quickstart", set=BY_MODULE)
    once = chosen(experiment, "virtual")
    assert chosen(experiment, "virtual", once) == once
