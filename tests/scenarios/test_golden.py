"""Stories of several ranks as text: an experiment, and what every rank did, for a reviewer to read.

Each file of `golden/` has the experiment, a line of dashes, and the trace. `pytest
tests/scenarios/test_golden.py --rewrite` writes the traces anew; the difference is the review.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import adpkv
from adpkv.core.record import COLUMN_FIELDS
from adpkv.output.story_words import Setting, words

GOLDEN = Path(__file__).parent / "golden"
RULE = "----\n"
FILES = sorted(GOLDEN.glob("*.txt"))


def trace(result: adpkv.Result) -> str:
    """A line for each thing that a rank did, then how each request and the run ended."""
    topology = result.experiment.topology.build()
    records = {one.request_id: one for one in result.requests}
    lines = []
    for event in result.events:
        record = records.get(event.request)
        servers = {}
        if record is not None:
            ranks = (record.context_rank, record.generation_rank)
            servers = {topology.instance_of(r).kind: (r,) for r in ranks if r >= 0}
        setting = Setting(topology, servers)
        request = f"request {event.request}: " if event.request >= 0 else ""
        at = f"{event.at_ns / 1e6:10.3f} ms"
        lines.append(f"{at}  {setting.who(event.rank):<21}  {request}{words(event, setting)}")
    lines.append("")
    for number, record in sorted(records.items()):
        spent = [
            f"{field.removesuffix('_ns').replace('_', ' ')} {getattr(record, field) / 1e6:.3f}"
            for field in COLUMN_FIELDS
            if getattr(record, field)
        ]
        lines.append(f"request {number}: {record.outcome.value}, ms: {', '.join(spent)}")
    if result.report is not None:
        # A line's number changes with every edit above it.
        lines += ["", re.sub(r"(\.py):[0-9]+", r"\1", str(result.report)), ""]
    lines.append(f"the run: {result.outcome} ({int(result.exit_code)})")
    return "\n".join(line.rstrip() for line in lines) + "\n"


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_what_every_rank_did(file: Path, request: pytest.FixtureRequest) -> None:
    asked, _, told = file.read_text(encoding="utf-8").partition(RULE)
    experiment = {"name": file.stem, **yaml.safe_load(asked)}
    results = [adpkv.simulate(experiment, jump=jump) for jump in (True, False)]
    done, slowly = map(trace, results)
    assert done == slowly, "through quiet stretches and over them"
    if request.config.getoption("rewrite"):
        file.write_text(f"{asked}{RULE}{done}", encoding="utf-8")
    else:
        assert done == told, f"{file}: --rewrite writes it anew, if this is what is meant"


def test_there_are_stories_and_each_says_what_it_is_about() -> None:
    assert len(FILES) >= 8
    assert all(file.read_text(encoding="utf-8").startswith("# ") for file in FILES)
