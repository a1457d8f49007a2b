"""The figures of `summary.json` by name: `latency.ttft_s.p99`, or `ttft_p99` for short.

A table has each as a column. A short name is the last part of the key without its unit, with the
statistic behind it: `goodput`, `error_rate`, `ttft_p99`, `e2e_mean`, `completed`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from adpkv.config import Experiment
from adpkv.errors import UsageError
from adpkv.output import Tally, build_summary
from adpkv.output.losses import with_losses

__all__ = ["SHARES", "Cell", "column_for", "flat", "known_figures", "short_name"]

Cell = int | float | str | bool | None
"""What one place of a table holds."""

COUNTED: Final = (
    "lost", "violations", "unfired", "failures", "avoided", "outages", "maintenance_missed",
)  # fmt: skip
"""Lists of which a table has the length; `failures` has the first ten only."""

UNIT: Final = re.compile(r"(_per_s|_s|_us)$")
NOT_FIGURES: Final = frozenset(
    {"adpkv", "build", "world", "outcome", "exit_code", "seed", "ranks", "ranks_per_core"}
)
LATENCY: Final = "latency."
SHARES: Final = ("_rate", "_share", "_attainment")
"""How names of figures end that are shares, told in per cent."""
UTILISATION_SHARES: Final = ("step_share", "compute_share", "step_wait_share")
"""What every instance has, and no summary of no ranks."""


def flat(summary: Mapping[str, Any]) -> dict[str, Cell]:
    """Every figure of a summary, by its dotted name."""
    found = dict(_cells("", summary))
    for key in COUNTED:
        if isinstance(summary.get(key), list):
            found[key] = len(summary[key])
    del found["failures"]  # `requests` counts all of them
    return found


def _cells(above: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Cell]]:
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _cells(f"{name}.", value)
        elif isinstance(value, list):
            yield name, "; ".join(map(str, value))
        else:
            yield name, value


def known_figures(experiment: Experiment) -> dict[str, Cell]:
    """The columns that every run of an experiment has, without a run: those that do not depend on
    what happened. Their values mean nothing, but for None: such a figure has no value at all."""
    topology = experiment.topology.build()
    names = [instance.name for instance in topology.instances]
    summary = build_summary("", experiment, [], Tally(experiment.slo), wall_s=0.0, simulated_s=0.0)
    return flat(with_losses(summary, ())) | dict.fromkeys(
        (f"utilisation.{name}.{share}" for name in names for share in UTILISATION_SHARES), 0
    )


def short_name(column: str) -> str:
    """`ttft_p99` of `latency.ttft_s.p99`; the last part of any other name, without its unit."""
    *above, last = column.split(".")
    if column.startswith(LATENCY):
        return f"{UNIT.sub('', above[-1])}_{last}"
    return UNIT.sub("", last)


ALIASES: Final = {"makespan": "rates.serving_s"}
"""Other names of figures, as the field has them."""


def column_for(name: str, columns: Iterable[str]) -> str:
    """The column that a name means: the column itself, or the only one with this short name.

    Raises:
        UsageError: there is none, or there are several.
    """
    known = [column for column in columns if column not in NOT_FIGURES]
    name = ALIASES.get(UNIT.sub("", name), name)
    if name in known:
        return name
    wanted = UNIT.sub("", name)
    found = [column for column in known if wanted in (short_name(column), UNIT.sub("", column))]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{name!r} may be {' or '.join(found)}: give the whole name")
    shorts = {short_name(column): column for column in known}
    near = difflib.get_close_matches(wanted, dict.fromkeys([*shorts, *known]), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "docs/metrics.md lists the figures"
    raise UsageError(f"{name!r} is no figure of a run: {hint}")
