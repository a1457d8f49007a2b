"""Checks inside the `regression` section: an expectation must be possible, and able to fail.

Each function yields the problems it finds; `relations` lists what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from adpkv.config.document import Key
from adpkv.config.experiment import Experiment
from adpkv.config.problem import Problem
from adpkv.config.regression import ExpectationConfig

__all__ = ["expectation_given", "expectation_parts", "expectation_ranks"]

Path = tuple[Key, ...]

_BEFORE: Final[Path] = ("regression", "before")
_STUCK: Final = ("mismatch", "deadlock", "livelock")
_ONE_RANK: Final = ("rank_failed", "rank_lost")


def expectation_given(experiment: Experiment) -> Iterator[Problem]:
    """A regression must say for at least one world what goes wrong there."""
    regression = experiment.regression
    if regression is None:
        return
    before = regression.before
    if before.virtual is None and before.mpi is None:
        yield Problem(_BEFORE, "must say for virtual or mpi, or both, what must be seen")
    for path, expected in _expectations(experiment):
        if path[:2] == _BEFORE and expected == ExpectationConfig():
            yield Problem(path, "must say what goes wrong: this is a clean run")


def expectation_parts(experiment: Experiment) -> Iterator[Problem]:
    """An expectation about an error must be about an error that has this property."""
    for path, expected in _expectations(experiment):
        if expected.says and expected.error == "none":
            yield Problem((*path, "says"), "needs an error whose message contains it")
        for i, place in enumerate(expected.places):
            if not place.ranks:
                yield Problem((*path, "places", i, "ranks"), "must name the ranks that are there")
        if expected.places and expected.error not in _STUCK:
            yield Problem((*path, "places"), f"need an error that has them: {_or(_STUCK)}")
        if expected.ranks and expected.error not in _ONE_RANK:
            yield Problem((*path, "ranks"), f"need an error that names some: {_or(_ONE_RANK)}")


def expectation_ranks(experiment: Experiment) -> Iterator[Problem]:
    """Expectations must name existing ranks."""
    ranks = experiment.topology.ranks
    for path, named in _named(experiment):
        for i, rank in enumerate(named):
            if rank >= ranks:
                yield Problem((*path, i), f"is no rank: the topology has {ranks}, from 0")


def _named(experiment: Experiment) -> Iterator[tuple[Path, tuple[int, ...]]]:
    for path, expected in _expectations(experiment):
        yield (*path, "ranks"), expected.ranks or ()
        for i, place in enumerate(expected.places):
            yield (*path, "places", i, "ranks"), place.ranks
        for i, violation in enumerate(expected.violations):
            yield (*path, "violations", i, "ranks"), violation.ranks or ()


def _expectations(experiment: Experiment) -> Iterator[tuple[Path, ExpectationConfig]]:
    regression = experiment.regression
    if regression is None:
        return
    for world, expected in (("virtual", regression.before.virtual), ("mpi", regression.before.mpi)):
        if expected is not None:
            yield (*_BEFORE, world), expected
    yield ("regression", "after"), regression.after


def _or(words: tuple[str, ...]) -> str:
    return " or ".join(words)
