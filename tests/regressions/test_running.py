"""A regression is run twice, and what came of it is what it came to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adpkv.config import Experiment
from adpkv.executor.phases import Phases
from adpkv.field_policies import assembly
from adpkv.regressions.catalogue import choose, read
from adpkv.regressions.running import ScenarioResult, examine
from adpkv.regressions.showing import Document, as_json, as_markdown
from adpkv.regressions.virtual import run_virtual
from adpkv.worlds.assemble import build_rank
from tests.regressions.regress_files import FILES, write

LEAVE_OUT: dict[str, Any] = {"virtual": {"violations": [{"kind": "leak"}]}}


def result_of(folder: Path, out: Path | None = None) -> ScenarioResult:
    (result,) = examine(read(folder), "virtual", assembly, out)
    return result


def test_one_that_holds(tmp_path: Path) -> None:
    write(tmp_path)
    result = result_of(tmp_path)
    assert result.held
    assert result.before.seen.error == "mismatch"
    assert {place.rank for place in result.before.seen.places} == {1, 2}
    assert result.after.seen.requests["completed"] == 2


def test_one_that_fails_otherwise_than_its_file_says(tmp_path: Path) -> None:
    write(tmp_path, regression={"before": LEAVE_OUT})
    result = result_of(tmp_path)
    assert not result.held
    assert result.before.deviations[0].startswith("broke off: mismatch (generation-1: rank 1 is")
    assert result.after.held


def test_one_that_does_not_fail(tmp_path: Path) -> None:
    write(tmp_path, policy={"poll": "gated"})
    result = result_of(tmp_path)
    assert result.before.deviations == ("expected mismatch, saw none: it ended completed",)


def test_one_that_the_contract_does_not_hold(tmp_path: Path) -> None:
    late = [{"kind": "delay", "duration": "300ms"}]
    write(tmp_path, faults=late, transceiver={"transfer_timeout": "100ms"})
    result = result_of(tmp_path)
    assert not result.held
    assert result.after.deviations == ("expected 0 requests timed out, saw 2",)


def test_the_folders_of_all_runs_are_kept_if_wanted(tmp_path: Path) -> None:
    write(tmp_path / "files")
    result_of(tmp_path / "files", tmp_path / "out")
    before, after = (tmp_path / "out" / "1" / which for which in ("before", "after"))
    assert json.loads((before / "deadlock.json").read_text())["error"] == "mismatch"
    assert json.loads((after / "summary.json").read_text())["exit_code"] == 0
    assert "responses: flush" in (after / "config.yaml").read_text()


def test_who_looks_on_is_told_of_each_run(tmp_path: Path) -> None:
    write(tmp_path, "1")
    write(tmp_path, "2", regression={"id": "2"})
    told: list[tuple[int, str, str]] = []
    results = examine(
        read(tmp_path),
        "virtual",
        assembly,
        on_run=lambda number, scenario, which: told.append((number, scenario.regression.id, which)),
    )
    next(results)
    assert told == [(1, "1", "before"), (1, "1", "after")], "as soon as it is known"
    list(results)
    assert told[2:] == [(2, "2", "before"), (2, "2", "after")]


class Broken(Phases):
    def apply(self, plan: Any) -> None:
        super().apply(plan)
        if self.rank.iteration > 3:
            raise KeyError("no such thing")


class Turning(Phases):
    """Never lets its group come to rest."""

    def is_quiet(self) -> bool:
        return False

    def status(self) -> Any:
        import msgspec

        return msgspec.structs.replace(super().status(), drained=False)


def experiment_of(folder: Path) -> Experiment:
    write(folder)
    (scenario,) = read(folder)
    return scenario.experiment


def test_whatever_escapes_from_a_rank_is_its_failure(tmp_path: Path) -> None:
    def assemble(*args: Any, **ports: Any) -> Any:
        return build_rank(*args, **ports, phases=Broken)

    seen = run_virtual(experiment_of(tmp_path / "f"), tmp_path / "out", assemble)
    assert (seen.error, seen.message) == ("rank_failed", "KeyError: 'no such thing'")
    assert seen.outcome == "internal_error"


def test_a_violation_before_a_run_broke_off_is_seen(tmp_path: Path) -> None:
    def assemble(*args: Any, **ports: Any) -> Any:
        from adpkv.core.values import Violation

        ports["recorder"].violation(Violation("leak", 2, 0, "planted"))
        return assembly(experiment)(*args, **ports)

    experiment = experiment_of(tmp_path / "f")
    seen = run_virtual(experiment, tmp_path / "out", assemble)
    assert seen.error == "mismatch"
    assert seen.violations == (("leak", 2),)


def test_one_that_never_ends_is_ended(tmp_path: Path) -> None:
    def assemble(*args: Any, **ports: Any) -> Any:
        return build_rank(*args, **ports, phases=Turning)

    write(tmp_path / "f", executor={"drain_timeout": "1000000s"}, observe={"pulse": "1ms"})
    (scenario,) = read(tmp_path / "f")
    seen = run_virtual(scenario.experiment, tmp_path / "out", assemble, bound_s=0.2)
    assert (seen.error, seen.message) == ("endless", "it did not end within 0.2 s")


# -- ours --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results() -> list[ScenarioResult]:
    return list(examine(choose(read(FILES), [], "virtual"), "virtual", assembly))


def test_all_of_ours_hold_in_virtual_time(results: list[ScenarioResult]) -> None:
    broken = [
        (v.scenario.path.name, which, half.deviations)
        for v in results
        for which, half in (("before", v.before), ("after", v.after))
        if not half.held
    ]
    assert broken == []


def test_the_table_in_the_document_is_that_of_the_command(results: list[ScenarioResult]) -> None:
    document = Document(FILES.parents[1] / "docs" / "regressions.md", "virtual")
    due = "run: adpkv regress --update docs/regressions.md"
    assert document.rewritten(results) == document.text, due


def test_json_has_all_details(results: list[ScenarioResult]) -> None:
    said = json.loads(as_json(results))
    assert said["held"] is True
    first = said["regressions"][0]
    assert (first["id"], first["world"]) == ("1", "virtual")
    assert first["before"]["expected"]["error"] == first["before"]["seen"]["error"] == "mismatch"
    assert first["before"]["seen"]["places"][0].keys() == {"rank", "kind", "site", "iteration"}


def test_markdown_has_one_row_each_and_no_time(results: list[ScenarioResult]) -> None:
    lines = as_markdown(results).splitlines()
    assert lines[0] == "| scenario | reference | before | after |"
    assert len(lines) == 2 + len(results)
