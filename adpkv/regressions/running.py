"""Each scenario twice: with the file's policy, where it must fail as described, then with the
contract's, where it must not."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adpkv.config import Experiment
from adpkv.config.policy import PolicyConfig
from adpkv.config.regression import ExpectationConfig, World
from adpkv.executor.loop import RankProgram
from adpkv.regressions.catalogue import Scenario
from adpkv.regressions.judging import deviations
from adpkv.regressions.real import run_real
from adpkv.regressions.seen import Seen
from adpkv.regressions.virtual import run_virtual
from adpkv.workload import build as build_workload

__all__ = ["Half", "ScenarioResult", "examine", "under_contract"]

Assembly = Callable[[Experiment], Callable[..., RankProgram]]
"""From an experiment to what makes its rank programs: reads the policy."""

CONTRACT: Final = "policy={}"
"""As `--set` takes it."""


@dataclass(frozen=True, slots=True)
class Half:
    """One of a scenario's two runs."""

    expected: ExpectationConfig
    seen: Seen
    deviations: tuple[str, ...]
    wall_s: float

    @property
    def held(self) -> bool:
        """Did the run do what was expected?"""
        return not self.deviations


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """The result of a scenario in one world."""

    scenario: Scenario
    world: World
    before: Half
    after: Half

    @property
    def held(self) -> bool:
        """Did it fail as described with its policy, and not under the contract?"""
        return self.before.held and self.after.held

    @property
    def wall_s(self) -> float:
        """Of both runs."""
        return self.before.wall_s + self.after.wall_s


def examine(
    scenarios: Sequence[Scenario],
    world: World,
    assembly: Assembly,
    out: Path | None = None,
    on_run: Callable[[int, Scenario, str], None] = lambda number, scenario, which: None,
) -> Iterator[ScenarioResult]:
    """Run each scenario, and yield its result as soon as it is known.

    Args:
        scenarios: those that make sense in this world.
        world: where.
        assembly: reads the policy; the real world's ranks do so by themselves.
        out: keeps the folders of all runs as ID/before and ID/after; None: they are thrown away.
        on_run: told before each run: the scenario's number from 1, the scenario, which run.
    """
    with tempfile.TemporaryDirectory(prefix="adpkv-regress-") as thrown_away:
        folder = out or Path(thrown_away)
        for number, scenario in enumerate(scenarios, 1):
            before = scenario.before(world)
            assert before is not None
            halves = []
            for which, expected in (("before", before), ("after", scenario.regression.after)):
                on_run(number, scenario, which)
                kept = folder / scenario.regression.id / which
                halves.append(_half(scenario, world, assembly, which, expected, kept))
            yield ScenarioResult(scenario, world, *halves)


def under_contract(experiment: Experiment) -> Experiment:
    """The same experiment without its historical policy."""
    return experiment.model_copy(update={"policy": PolicyConfig()})


def _half(
    scenario: Scenario,
    world: World,
    assembly: Assembly,
    which: str,
    expected: ExpectationConfig,
    out: Path,
) -> Half:
    experiment = scenario.experiment
    after = which == "after"
    began_s = time.monotonic()
    if world == "mpi":
        overrides = [*scenario.overrides, *([CONTRACT] if after else [])]
        seen = run_real(scenario.path, out, overrides)
    else:
        tried = under_contract(experiment) if after else experiment
        seen = run_virtual(tried, out, assembly(tried))
    wall_s = time.monotonic() - began_s
    if seen.outcome == "interrupted" and expected.outcome != "interrupted":
        # Ctrl-C was meant for this command, and the run took it as its own: it drained and ended.
        raise KeyboardInterrupt
    found = deviations(expected, seen, build_workload(experiment).total)
    return Half(expected, seen, tuple(found), wall_s)
