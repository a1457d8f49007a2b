"""From a run or a sweep to the files of its report: what command and library share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adpkv.errors import UsageError
from adpkv.output.folder import RunFolder
from adpkv.reports.files import Format, Theme, chosen_plots, write_page, write_plots
from adpkv.reports.plot import Page, altair
from adpkv.sweeps.folder import is_sweep

if TYPE_CHECKING:
    from adpkv.results import Result
    from adpkv.sweeps.result import Sweep

__all__ = ["FORMATS", "newest", "report_of", "write_report"]

FORMATS = ("html", "svg", "png")
PAGE = "report.html"
PLOTS = "plots"


def newest() -> Path:
    """The folder of `runs/` that was made last, a run's or a sweep's.

    Raises:
        UsageError: there is none.
    """
    found = [*Path("runs").glob("*/config.yaml"), *Path("runs").glob("*/runs.jsonl")]
    if not found:
        raise UsageError("runs: there is no run here; say which folder to report")
    return max(found, key=lambda path: path.stat().st_mtime_ns).parent


def report_of(source: Path | Result | Sweep) -> Page:
    """The page of a run or a sweep, from its folder or as a result.

    Raises:
        UsageError: there is none, or there is nothing in it to report.
        MissingPieceError: the extra `report` is not installed.
    """
    altair()
    if isinstance(source, Path):
        return _of_folder(source)
    from adpkv.reports.run_data import of_result
    from adpkv.reports.run_page import run_page
    from adpkv.reports.sweep_data import of_sweep, read_sweep
    from adpkv.reports.sweep_page import sweep_page
    from adpkv.results import Result

    if isinstance(source, Result):
        return run_page(of_result(source))
    if source.folder is not None:
        return sweep_page(read_sweep(source.folder))  # its plan is there
    return sweep_page(of_sweep(source))


def _of_folder(path: Path) -> Page:
    from adpkv.reports.run_data import read_run
    from adpkv.reports.run_page import run_page
    from adpkv.reports.sweep_data import read_sweep
    from adpkv.reports.sweep_page import sweep_page

    if is_sweep(path):
        return sweep_page(read_sweep(path))
    return run_page(read_run(path))


def write_report(
    source: Path | Result | Sweep,
    out: Path | None = None,
    form: Format = "html",
    *,
    plots: Sequence[str] = (),
    theme: Theme = "light",
) -> list[Path]:
    """Write a report; returns the files.

    Args:
        source: a run or a sweep: its folder, or the result.
        out: the file of the page, or the folder of the plots. None: `report.html`, or `plots`, in
            the folder of the run or sweep.
        form: one page, or each plot as a file.
        plots: only these, by their names; not for a page.
        theme: the colours of plots as files; the page follows its reader's.

    Raises:
        UsageError: it cannot be made or written. Nothing is half-written then.
        MissingPieceError: the extra `report` is not installed.
    """
    if form not in FORMATS:
        raise UsageError(f"{form!r} is no format of a report: it is {', '.join(FORMATS)}")
    if theme not in ("light", "dark"):
        raise UsageError(f"{theme!r} is no theme: it is light or dark")
    from adpkv.results import Result
    from adpkv.sweeps.result import Sweep

    if not isinstance(source, Path | Result | Sweep):
        raise UsageError(
            f"a report is of a folder, a Result or a Sweep, not {type(source).__name__}"
        )
    if isinstance(plots, str) or not isinstance(plots, Iterable):
        raise UsageError(f"plots {plots!r}: must be a list of names")
    if plots and form == "html":
        raise UsageError("--plot goes with --format svg or png: a page has all plots")
    folder = source if isinstance(source, Path) else source.folder
    if out is None and folder is None:
        raise UsageError("a result without a folder needs to be told where its report goes")
    page = report_of(source)
    if form == "html":
        return [write_page(page, out or _inside(folder, PAGE))]
    if not page.plots:
        told = " ".join(page.notes) or "There is nothing to draw."
        raise UsageError(f"{folder or 'this'}: there are no plots. {told}")
    return write_plots(page, chosen_plots(page, plots), out or _inside(folder, PLOTS), form, theme)


def _inside(folder: Path | None, name: str) -> Path:
    assert folder is not None
    return RunFolder(folder).path / name
