"""Which regressions there are: their files, and the choice of those that were asked for."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from adpkv.config import Experiment, load
from adpkv.config.regression import ExpectationConfig, RegressionConfig, World
from adpkv.config.shipped import REGRESSIONS, folder
from adpkv.errors import ConfigError, UsageError

__all__ = ["Scenario", "choose", "find_folder", "read"]

PIN: Final = "transceiver.staging=off"
"""What regressions about blocks pin: with staging, peers touch slots and never a block."""

NEAR: Final = 0.5
"""How similar a known id must be to be suggested for an unknown one."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One regression, as its file has it."""

    path: Path
    experiment: Experiment
    regression: RegressionConfig
    overrides: tuple[str, ...] = ()
    """What was set besides, as KEY=VALUE."""
    pinned: bool = False
    """Its file has `PIN`, which somebody wanted to be otherwise: it stays."""

    def before(self, world: World) -> ExpectationConfig | None:
        """What must be seen in a world; None where the scenario makes no sense."""
        before = self.regression.before
        return before.virtual if world == "virtual" else before.mpi


def find_folder(given: Path | None) -> Path:
    """The folder of regression files: the one that was given, else that of adpkv's own.

    Raises:
        UsageError: it is not there.
    """
    if given is None:
        return folder() / REGRESSIONS
    if not os.path.isdir(given):
        raise UsageError(f"no folder of regressions: looked for {given}")
    return given


def read(place: Path, overrides: Sequence[str] = ()) -> list[Scenario]:
    """All regressions of a folder, in the order of their ids, each with these keys set.

    Raises:
        ConfigError: a file is no regression, or two have one id; all problems at once.
    """
    found: list[Scenario] = []
    problems: list[str] = []
    for path in sorted(place.glob("*.yaml")):
        try:
            found.append(_scenario(path, tuple(overrides)))
        except ConfigError as error:
            problems.append(str(error))
    found.sort(key=lambda scenario: _order(scenario.regression.id))
    for one, other in pairwise(found):
        if one.regression.id == other.regression.id:
            problems.append(f"{other.path}: has the id of {one.path}, {one.regression.id!r}")
    if problems:
        raise UsageError("\n".join(problems))
    if not found:
        raise UsageError(f"{place}: there is no regression in it (*.yaml)")
    return found


def choose(scenarios: Sequence[Scenario], ids: Sequence[str], world: World) -> list[Scenario]:
    """Those with these ids, or all that make sense in this world.

    Raises:
        UsageError: an id is unknown, its scenario makes no sense in this world, or it was to run
            with what its file pins to another value.
    """
    here = {s.regression.id: s for s in scenarios if s.before(world) is not None}
    if not ids:
        if not here:
            raise UsageError(f"none of the regressions says anything of the world {world}")
        return list(here.values())
    every = [scenario.regression.id for scenario in scenarios]
    problems = []
    for wanted in ids:
        if wanted not in every:
            near = difflib.get_close_matches(wanted, every, n=3, cutoff=NEAR)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(every)}"
            problems.append(f"there is no regression {wanted!r}: {hint}")
        elif wanted not in here:
            those = f"; those that do: {', '.join(here)}" if here else ""
            problems.append(f"regression {wanted!r} says nothing of the world {world}{those}")
        elif here[wanted].pinned:
            problems.append(
                f"regression {wanted!r} is about blocks, which peers do not touch with staging: its"
                f" file pins {PIN}"
            )
    if problems:
        raise UsageError("\n".join(problems))
    return [here[wanted] for wanted in dict.fromkeys(ids)]


def _scenario(path: Path, overrides: tuple[str, ...]) -> Scenario:
    experiment = load(path, overrides)
    pinned = experiment.transceiver.staging != "off" and load(path).transceiver.staging == "off"
    if pinned:
        overrides = (*overrides, PIN)
        experiment = load(path, overrides)
    problems = []
    if experiment.regression is None:
        problems.append("regression: is required here, and missing: what must be seen, and where")
    if not experiment.policy.historical():
        problems.append("policy: is the contract's, under which nothing can go wrong as described")
    if problems or experiment.regression is None:
        raise ConfigError(str(path), problems)
    return Scenario(path, experiment, experiment.regression, overrides, pinned)


def _order(name: str) -> list[tuple[int, str]]:
    """So that 7a comes before 7b, and both before 10."""
    return [(int(number or 0), text) for number, text in re.findall(r"(\d+)|(\D+)", name)]
