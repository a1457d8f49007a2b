"""What notices each mutation, as a table and summed up."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.mutants.mutations import NOTHING, mutations
from tests.mutants.stages import STAGES, Noticed
from tests.mutants.survivors import ARGUED

__all__ = ["Known", "summed_up", "survivors", "write_table"]

Known = dict[str, dict[str, Noticed]]
"""Mutation -> stage -> what it says."""

BEGIN: Final = "<!-- mutations: made by `python -m tests.mutants --table FILE` -->"
END: Final = "<!-- end of mutations -->"


def survivors(known: Known) -> list[str]:
    """Those that no stage has noticed, and each stage was made."""
    return [
        one.name
        for one in mutations()
        if one.name in known
        and len(known[one.name]) == len(STAGES)
        and not any(said.by for said in known[one.name].values())
    ]


def summed_up(known: Known) -> int:
    """Print how many are noticed by what; 1 if one survives that is not argued away, or
    if something is noticed where nothing is changed."""
    alarms = [said.by for said in known.get(NOTHING.name, {}).values() if said.by]
    for by in alarms:
        print(f"noticed although nothing is changed: {by}")
    planted = [known[one.name] for one in mutations() if one.name in known]
    counts = {
        stage: sum(bool(said[stage].by) for said in planted if stage in said) for stage in STAGES
    }
    made = {stage: sum(stage in said for said in planted) for stage in STAGES}
    told = ", ".join(f"{stage} {counts[stage]} of {made[stage]}" for stage in STAGES)
    left = survivors(known)
    open_ = [name for name in left if name not in ARGUED]
    print(f"{len(planted)} of {len(mutations())} planted; noticed by: {told};"
          f" {len(left)} survive, {len(open_)} of them not argued away")  # fmt: skip
    for name in open_:
        print(f"  {name}")
    return int(bool(open_ or alarms))


def write_table(path: Path, known: Known) -> None:
    """Put the table between the two marks of a Markdown file."""
    text = path.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    path.write_text("\n".join([head + BEGIN, *_rows(known), END + tail]))


def _rows(known: Known) -> list[str]:
    rows = ["", "| mutation | explore | seeds | unit test | scenario |", "|---|---|---|---|---|"]
    for one in mutations():
        said = known.get(one.name, {})
        explored = said.get("explore")
        cells = [
            _code(one.name),
            _code(explored.by) if explored else "not made",
            f"{explored.seeds:,}" if explored and explored.by else "",
            *(_test(said.get(stage)) for stage in ("unit", "scenario")),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return [*rows, ""]


def _test(said: Noticed | None) -> str:
    if said is None:
        return "not made"
    file, _, test = said.by.rpartition("::")
    return _code(f"{Path(file).stem}::{test}" if test and file else said.by)


def _code(text: str) -> str:
    return f"`{text.replace('|', '/')}`" if text else "–"
