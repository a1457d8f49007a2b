"""How far simulations are from real runs: signed errors of what a user looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from adpkv.calibration.crowding import alike, by_crowding
from adpkv.calibration.fit import fitted
from adpkv.calibration.samples import RunSamples
from adpkv.config import Experiment
from adpkv.config.calibration import CalibrationConfig
from adpkv.worlds.virtual.in_memory import simulate_in_memory

__all__ = ["BARS", "FIGURES", "Error", "errors_of", "held_out", "of_experiments"]

LATENCIES: Final = ("ttft", "itl", "tpot", "e2e")
FIGURES: Final = (*(f"{one}_{p}" for one in LATENCIES for p in ("p50", "p90", "p99")), "makespan")

BARS: Final[Mapping[str, float]] = {
    "ttft_p50": 0.05, "tpot_p50": 0.05, "makespan": 0.05,
    **{f"{one}_p99": 0.10 for one in LATENCIES},
}  # fmt: skip
"""What was aimed for; twice the spread between real runs where that is more."""


@dataclass(frozen=True, slots=True)
class Error:
    """One figure of one experiment: real (the median of its runs), simulated, and how much the real
    runs differ among themselves, as a share of it."""

    experiment: str
    figure: str
    real_s: float
    simulated_s: float
    uncalibrated_s: float
    spread: float
    runs: int

    @property
    def error(self) -> float:
        """Signed: above 0 where the simulation takes longer."""
        return self.simulated_s / self.real_s - 1

    @property
    def before(self) -> float:
        """The same without a calibration."""
        return self.uncalibrated_s / self.real_s - 1

    @property
    def bar(self) -> float | None:
        """What it is held to; None for a figure that is only reported."""
        bar = BARS.get(self.figure)
        return None if bar is None else max(bar, 2 * self.spread)

    @property
    def is_met(self) -> bool:
        """Whether it is within its bar."""
        return self.bar is None or abs(self.error) <= self.bar


def of_experiments(runs: Sequence[RunSamples]) -> dict[str, list[RunSamples]]:
    """The runs of each experiment, by its name."""
    found: dict[str, list[RunSamples]] = {}
    for run in runs:
        found.setdefault(run.experiment.name, []).append(run)
    return found


def held_out(runs: Sequence[RunSamples]) -> list[Error]:
    """The errors of each experiment, calibrated on the runs of all others that are like it."""
    found: list[Error] = []
    for name, own in of_experiments(runs).items():
        others = [run for run in runs if run.experiment.name != name]
        for same in by_crowding(own).values():
            found += errors_of(same, fitted(*alike(others, same[0])))
    return found


def errors_of(own: Sequence[RunSamples], calibration: CalibrationConfig) -> list[Error]:
    """The errors of one experiment, given its real runs."""
    experiment = own[0].experiment
    real = [_figures(run.summary) for run in own]
    seen = _figures(_simulated(experiment, calibration))
    before = _figures(_simulated(experiment, None))
    found = []
    for figure in FIGURES:
        values = [one[figure] for one in real]
        middle = median(values)
        if middle:
            spread = (max(values) - min(values)) / middle
            found.append(
                Error(
                    experiment.name, figure, middle, seen[figure], before[figure], spread, len(own)
                )
            )
    return found


def _simulated(experiment: Experiment, calibration: CalibrationConfig | None) -> dict[str, object]:
    observe = experiment.observe.model_copy(update={"events": False, "timeline": False})
    changed = experiment.model_copy(update={"calibration": calibration, "observe": observe})
    result = simulate_in_memory(changed)
    if result.error is not None:
        raise result.error
    return result.summary


def _figures(summary: Mapping[str, Any]) -> dict[str, float]:
    latency = summary["latency"]
    found = {
        f"{one}_{p}": float(latency[f"{one}_s"][p] or 0.0)
        for one in LATENCIES
        for p in ("p50", "p90", "p99")
    }
    found["makespan"] = float(summary["rates"]["serving_s"] or 0.0)
    return found
