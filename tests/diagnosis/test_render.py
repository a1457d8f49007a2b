"""The report as a person reads it: golden texts, narrow windows, and a thousand ranks on a screen.

Where a golden text is to change: `python -m tests.diagnosis.test_render`, then read the diff.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adpkv.config import load
from adpkv.core.topology import Topology
from adpkv.diagnosis.classify import Kind
from adpkv.diagnosis.render import WIDTH, report_text
from adpkv.diagnosis.report import Report, make_report
from adpkv.errors import StuckError
from adpkv.executor.collectives import Wait
from adpkv.field_policies import assembly
from adpkv.worlds.virtual.run import Simulation
from tests.diagnosis.planted import (
    NEVER,
    PLANTED,
    collective,
    flush,
    for_ever,
    meet,
    pause,
    stuck,
    sync,
)

GOLDEN = Path(__file__).with_name("golden")
REGRESSIONS = Path(__file__).parents[2] / "configs" / "regressions"

PLANTS = (Kind.MISSING_PARTICIPANT, Kind.ORDER_INVERSION, Kind.ARGUMENT_MISMATCH, Kind.LOST_WAKE_UP)
STORIES = ("01", "03", "05")


def report_of(name: str) -> Report:
    """A regression's, without its folder: or of a planted kind."""
    if not name.isdecimal():
        return make_report(stuck(PLANTED[Kind(name)]()))
    (path,) = REGRESSIONS.glob(f"{name}-*.yaml")
    experiment = load(path)
    job = Simulation(experiment, assemble=assembly(experiment))
    with pytest.raises(StuckError) as caught:
        job.run()
    return make_report(caught.value.evidence, "adpkv simulate RUN/config.yaml --seed 0")


def normal(text: str) -> str:
    """Without the line numbers of our own source."""
    return re.sub(r"\.py:\d+ ", ".py:N ", text) + "\n"


def golden(name: str) -> Path:
    return GOLDEN / f"{name.replace(' ', '-')}.txt"


NAMES = [*STORIES, *(kind.value for kind in PLANTS)]


@pytest.mark.parametrize("name", NAMES)
def test_the_text_is_as_it_was_read_and_found_good(name: str) -> None:
    assert normal(report_text(report_of(name))) == golden(name).read_text()


def thousand() -> Report:
    """A group of 1,000 ranks in four places, and eight groups of three at eight iterations."""
    topology = Topology.of(context=(1, 1000), generation=(8, 3))
    odd = {
        17: collective("tp_gather", "respond"),
        500: collective("tp_gather", "respond"),
        900: pause(),
    }
    many = [meet(flush(), odd.get(rank, sync())) for rank in range(1000)]
    idle = [for_ever(_idle_wait(1 + i // 3)) for i in range(24)]
    return make_report(stuck([*many, *idle], topology))


def _idle_wait(group: int) -> Wait:
    return Wait(group, "wait", "wait", group, None, 10, NEVER, quiet_status=())


def test_a_thousand_ranks_fit_a_screen() -> None:
    text = report_text(thousand(), WIDTH)
    lines = text.splitlines()
    assert len(lines) <= 50
    where = lines.index("who is where")
    assert lines[where + 2].split()[:3] == ["!", "17,", "500"], "outliers first"
    assert "0-16, 18-499, 501-899, 901-999" in text


def test_ranks_in_hundreds_of_places_do_too() -> None:
    """Every other rank elsewhere: spans do not help, and lists are cut off."""
    topology = Topology.of(context=(1, 1000), generation=(1, 1))
    many = [meet(flush(), collective("tp_gather", "a") if r % 2 else sync()) for r in range(1000)]
    lines = report_text(make_report(stuck(many, topology))).splitlines()
    assert len(lines) <= 40
    assert "ranks 1, 3, 5, 7, 9, 11, 13, ... (500 in all)" in " ".join(lines)


@pytest.mark.parametrize("columns", [40, 60, 79, 100])
@pytest.mark.parametrize("name", ["02", "05", "order inversion"])
def test_no_line_is_wider_than_the_window(name: str, columns: int) -> None:
    report = report_of(name)
    replayed = report_text(report, columns).replace(report.replay, "")
    assert max(map(len, replayed.splitlines())) <= columns
    assert "who is where" in replayed


def main() -> None:
    for name in NAMES:
        golden(name).write_text(normal(report_text(report_of(name))))


if __name__ == "__main__":
    main()
