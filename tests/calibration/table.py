"""How close a calibration is to the runs of a campaign, as a table of `docs/calibration.md`.

    python -m tests.calibration.table FOLDER [--check OTHER]

Each experiment is held out, and calibrated on the others of the same folder. With `--check` the
calibration is that of all runs of FOLDER, and the errors are on those of OTHER.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from adpkv.calibration.calling import calibrated
from adpkv.calibration.errors import Error

SHOWN = ("ttft_p50", "tpot_p50", "makespan", "ttft_p99", "tpot_p99", "itl_p99", "e2e_p99")
ORDER = ("quickstart", "closed-loop", "trace-sample", "replicated", "four-ranks")


def runs_in(folder: Path) -> list[Path]:
    """The runs of a campaign that ended well."""
    return sorted(
        one for one in folder.glob("*-[0-9]*") if one.is_dir() and not one.name.startswith("failed")
    )


def as_table(errors: Sequence[Error]) -> list[str]:
    """The lines of a Markdown table; what is not within its bar is bold."""
    rows = [f"| held out | real runs | {' | '.join(SHOWN)} |", "|---" * (len(SHOWN) + 2) + "|"]
    for name in ORDER:
        own = {one.figure: one for one in errors if one.experiment == name}
        if own:
            cells = [_cell(own[figure]) for figure in SHOWN]
            rows.append(f"| {name} | {own[SHOWN[0]].runs} | {' | '.join(cells)} |")
    held = [one for one in errors if one.bar is not None]
    rows.append(f"{sum(one.is_met for one in held)} of {len(held)} figures are within their bar")
    return rows


def _cell(one: Error) -> str:
    told = f"{one.error:+.1%} ({one.before:+.1%})".replace("%", " %")
    return told if one.is_met else f"**{told}**"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", type=Path, help="another campaign, to judge it on")
    chosen = parser.parse_args()
    check = [] if chosen.check is None else runs_in(chosen.check)
    found, errors = calibrated(runs_in(chosen.folder), check)
    for one in found:
        print("calibrated on", ", ".join(one.experiments))
    print("\n".join(as_table(errors)))
    spreads = [one for one in errors if one.runs > 1 and one.figure in SHOWN]
    for one in spreads:
        print(f"spread between real runs: {one.experiment} {one.figure} {one.spread:.1%}")


if __name__ == "__main__":
    main()
