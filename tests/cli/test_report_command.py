"""`adpkv report`: its files, and what is wrong with a call."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import adpkv
from adpkv.output.folder_files import FOLDERS, OURS
from adpkv.reports.plot import altair
from tests.cli.forked import adpkv as adpkv_command


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    altair()  # not in each call again
    folder = tmp_path_factory.mktemp("reported") / "run"
    adpkv.simulate("quickstart", set={"workload.requests": 8}, out=folder)
    return folder


def report(*arguments: str | Path, code: int = 0) -> str:
    done = adpkv_command(Path(), "report", *arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_a_page_and_plots_go_into_the_folder_which_stays_a_runs(run: Path) -> None:
    assert "report.html (" in report(run)
    assert (run / "report.html").read_text().startswith("<!doctype html>")
    names = ("in-flight", "ranks")
    adpkv.write_report(run, format="svg", plots=names)
    made = adpkv.write_report(run, format="png", plots=names, theme="dark")
    assert [path.name for path in made] == ["in-flight.png", "ranks.png"]
    assert (run / "plots" / "ranks.svg").read_text().startswith("<svg")
    assert (run / "plots" / "ranks.png").read_bytes().startswith(b"\x89PNG")
    assert all(OURS.fullmatch(path.name) for path in run.iterdir())
    assert all(FOLDERS["plots"].fullmatch(path.name) for path in (run / "plots").iterdir())
    adpkv.simulate("quickstart", set={"workload.requests": 8}, out=run)
    assert not (run / "report.html").exists(), "it was the former run's"


def test_a_page_that_goes_on_in_an_open_file_has_nothing_told_in_it(run: Path) -> None:
    done = adpkv_command(Path(), "report", run, "--out", "/dev/stdout")
    assert done.returncode == 0
    assert done.stdout.startswith("<!doctype html>")
    assert "report:" not in done.stdout
    assert done.stderr == "report: /dev/stdout\n"


def test_what_is_wrong_is_told(run: Path, tmp_path: Path) -> None:
    assert "invalid value" in report(run, "--format", "pdf", code=2).lower()
    (tmp_path / "file").write_text("")
    calls: list[tuple[Path, dict[str, object], str]] = [
        (tmp_path / "none", {}, "there is no such folder"),
        (tmp_path, {}, "no config.yaml"),
        (run, {"format": "svg", "plots": ["no"]}, "no such plot here; there are: in-flight"),
        (run, {"out": tmp_path / "file" / "x.html"}, "cannot be written"),
        (run, {"out": tmp_path}, "this is a folder"),
    ]
    for source, given, told in calls:
        with pytest.raises(adpkv.UsageError, match=told):
            adpkv.write_report(source, **given)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"format": "pdf"}, "'pdf' is no format"),
        ({"theme": "pink"}, "'pink' is no theme"),
        ({"plots": ["ranks"]}, "a page has all plots"),
    ],
)
def test_what_is_wrong_from_python(run: Path, given: dict[str, object], told: str) -> None:
    with pytest.raises(adpkv.UsageError, match=told):
        adpkv.write_report(run, **given)  # type: ignore[arg-type]


def test_a_result_without_a_folder_needs_a_place(tmp_path: Path) -> None:
    result = adpkv.simulate("quickstart", set={"workload.requests": 5})
    with pytest.raises(adpkv.UsageError, match="needs to be told where"):
        adpkv.write_report(result)
    (made,) = adpkv.write_report(result, tmp_path / "new" / "page.html")
    assert made.is_file()


def test_another_versions_run_is_read_with_a_note_or_refused(run: Path, tmp_path: Path) -> None:
    summary = run / "summary.json"
    before = summary.read_text()
    try:
        summary.write_text(before.replace('"adpkv": "0.1.0"', '"adpkv": "0.0.9"'))
        (made,) = adpkv.write_report(run, tmp_path / "page.html")
        assert "adpkv 0.0.9 has made this run" in made.read_text()
        summary.write_text('{"adpkv": "0.0.9"}')
        with pytest.raises(adpkv.UsageError, match=r"but of 0\.0\.9"):
            adpkv.write_report(run, tmp_path / "other.html")
        assert not (tmp_path / "other.html").exists()
    finally:
        summary.write_text(before)


@pytest.mark.parametrize("missing", ["altair", "vl_convert"])
def test_without_the_extra_it_says_how_to_get_it(
    run: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(adpkv.MissingPieceError, match=r"pip install 'adpkv\[report\]'"):
        adpkv.write_report(run)
