"""Which points are best, and why: the winner, or the Pareto front, as experiments to run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from adpkv.config.document import write
from adpkv.counting import counted
from adpkv.output.tables import print_line, width_of, wrapped
from adpkv.sweeps.objectives import Goal
from adpkv.sweeps.plan import Plan, settings_text
from adpkv.sweeps.result import SweepPoint
from adpkv.sweeps.showing import figure_text
from adpkv.terminal import console_for
from adpkv.whole_files import write_whole

__all__ = ["Best", "best_points", "search_values", "show_best", "write_best"]

FRONT: Final = "front"
OF_FRONT: Final = re.compile(r"point-[0-9]+\.yaml")
"""The names there that are ours; a person may keep more beside them."""

MOST_RANKED: Final = 10
"""The best points that are shown of a search with one objective."""


@dataclass(frozen=True, slots=True)
class Best:
    """What a search came to."""

    goal: Goal
    front: tuple[SweepPoint, ...]
    """With one objective the winner alone, else those that no other point is better than in
    everything; the best in the first objective first. Empty if no point keeps all bounds."""
    tried: int
    kept: int
    """How many points keep all bounds."""
    ranked: tuple[SweepPoint, ...]
    """The points that keep all bounds, the best in the first objective first."""
    nearest: SweepPoint | None
    """Of points that all exceed some bound, the one that does so least."""

    @property
    def columns(self) -> list[str]:
        """The figures that are looked at."""
        goals = [one.column for one in self.goal.objectives]
        return list(dict.fromkeys([*goals, *(one.column for one in self.goal.constraints)]))

    @property
    def shown(self) -> tuple[SweepPoint, ...]:
        """The front, or the best few."""
        return self.front if len(self.goal.objectives) > 1 else self.ranked[:MOST_RANKED]


def best_points(goal: Goal, points: Sequence[SweepPoint]) -> Best:
    """The winner or the front of these points; of equal ones the first."""
    keeping = [(point, values) for point in points if goal.keeps(point)
               and (values := goal.values(point)) is not None]  # fmt: skip
    first = goal.objectives[0]
    keeping.sort(key=lambda pair: -pair[1][0] if first.largest else pair[1][0])
    front: list[SweepPoint] = []
    seen: list[Sequence[float]] = []
    for point, values in keeping:
        if any(goal.dominates(other, values) for _, other in keeping) or values in seen:
            continue
        front.append(point)
        seen.append(values)
    ranked = tuple(point for point, _ in keeping)
    nearest = None if ranked else min(points, key=lambda one: max(goal.excesses(one)), default=None)
    return Best(goal, tuple(front), len(points), len(keeping), ranked, nearest)


def write_best(best: Best, plan: Plan, folder: Path) -> list[Path]:
    """Write what is best as experiments that can be run, each with its reason as a comment:
    `winner.yaml`, or `front/point-N.yaml` of several objectives. What a shorter search had found
    best, before it went on, is taken away.

    Raises:
        OSError: they cannot be written.
    """
    made = []
    for point in best.front:
        if len(best.goal.objectives) == 1:
            path = folder / "winner.yaml"
        else:
            path = folder / FRONT / f"point-{point.number}.yaml"
            path.parent.mkdir(exist_ok=True)
        experiment = plan.experiment(point.settings)
        values = experiment.model_dump(by_alias=True, exclude_unset=True)
        values.pop("sweep", None)
        comment = "".join(f"# {line}\n" for line in reasons(best, point))
        write_whole(path, f"{comment}\n{write(values)}")
        made.append(path)
    ours = [path for path in folder.glob(f"{FRONT}/*") if OF_FRONT.fullmatch(path.name)]
    for path in (folder / "winner.yaml", *ours):
        if path not in made:
            path.unlink(missing_ok=True)
    return made


def show_best(stream: IO[str], best: Best, made: Sequence[Path]) -> None:
    """Why the winner, or that there is none."""
    console = console_for(stream)
    lines = []
    if not best.front:
        lines.append("no point keeps all bounds")
        if best.nearest is not None:
            told = [
                f"{one.text}: {_told(best.nearest, one.column)}" for one in best.goal.constraints
            ]
            lines.append(f"the nearest: {settings_text(best.nearest.settings)}: {', '.join(told)}")
    elif len(best.goal.objectives) == 1:
        lines += reasons(best, best.front[0])
    else:
        lines.append(f"the front: {_front_size(best)}")
    if made:
        others = f" and {counted(len(made) - 1, 'other')} there" if len(made) > 1 else ""
        lines.append(f"to run: {made[0]}{others}")
    for line in lines:
        for part in wrapped(line, width_of(console), hang="  "):
            print_line(console, part)


def search_values(best: Best, made: Sequence[Path]) -> dict[str, Any]:
    """What a search came to, as plain values."""
    return {
        "optimize": [one.text for one in best.goal.objectives],
        "subject_to": [one.text for one in best.goal.constraints],
        "tried": best.tried,
        "kept": best.kept,
        "best": [
            {"point": point.number, "settings": dict(point.settings), "file": str(path),
             "figures": {name: point.mean(name) for name in best.columns}}
            for point, path in zip(best.front, made, strict=True)
        ],
    }  # fmt: skip


def reasons(best: Best, point: SweepPoint) -> list[str]:
    """Why this point: its figures, its bounds, and what else there was."""
    goal = best.goal
    seeds = len(point.runs)
    over = f", mean over {seeds} seeds" if seeds > 1 else ""
    keep = "keeps" if best.kept == 1 else "keep"
    bounds = f", {best.kept} of which {keep} all bounds" if goal.constraints else ""
    lines = [f"Found by adpkv sweep: point {point.number} of {best.tried}{bounds}{over}."]
    lines += [f"{one.text}: {_told(point, one.column)}" for one in goal.objectives]
    lines += [f"{one.text}: {_told(point, one.column)}" for one in goal.constraints]
    lines.append(f"by {settings_text(point.settings)}")
    if len(goal.objectives) == 1 and len(best.ranked) > 1:
        (objective,) = goal.objectives
        other = best.ranked[1]
        lines.append(
            f"next best: {_told(other, objective.column)} by {settings_text(other.settings)}"
        )
    if len(goal.objectives) > 1:
        lines.append(f"one of {_front_size(best)}")
    return lines


def _front_size(best: Best) -> str:
    return f"{counted(len(best.front), 'point')} that no other is better than in all objectives"


def _told(point: SweepPoint, column: str) -> str:
    mean = point.mean(column)
    exact = "" if mean is None or figure_text(column, mean) == f"{mean:g}" else f" ({mean:.6g})"
    return figure_text(column, mean) + exact
