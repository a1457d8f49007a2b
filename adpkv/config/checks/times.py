"""Checks that no run lasts longer than the largest time there is (`core.ids.LAST_NS`).

Each function yields the problems it finds; `relations` lists what it reads. Only a time that the
run will certainly reach is refused here. A run that takes longer for other reasons (full batches,
clients that wait for one another) ends with `errors.EndOfTimeError`.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import isqrt
from typing import Final

from adpkv.config.experiment import Experiment
from adpkv.config.legal_silence import calibrated_ns, longest_step_ns
from adpkv.config.model import CostedModelConfig
from adpkv.config.problem import Problem
from adpkv.config.units import SECOND, duration_text
from adpkv.config.workload import ClosedLoopConfig, PoissonConfig, ScriptConfig
from adpkv.core.ids import LAST_NS

__all__ = ["answers", "arrivals", "calibrated_steps", "script_times", "skews", "steps"]

_LIMIT: Final = f"the longest run is {duration_text(LAST_NS)}, ten years"

_SPREAD: Final = 40
"""A sum of exponential gaps is taken to be at most its mean plus so many standard deviations. One
gap, drawn from 53 random bits, cannot exceed that, and a sum of many practically never does."""


def arrivals(experiment: Experiment) -> Iterator[Problem]:
    """The last request must arrive before the largest time."""
    workload = experiment.workload
    if isinstance(workload, PoissonConfig):
        gaps = workload.requests + _SPREAD * (isqrt(workload.requests - 1) + 1)
        last_ns = Fraction(gaps * SECOND) / Fraction(workload.rate)
        if last_ns > LAST_NS:
            yield Problem(
                ("workload", "rate"),
                f"may have the last request come after {duration_text(last_ns)}; {_LIMIT}",
            )
    elif isinstance(workload, ClosedLoopConfig):
        thoughts = -(-workload.requests // workload.users) - 1
        if thoughts * workload.think_time_ns > LAST_NS:
            yield Problem(
                ("workload", "think_time"),
                f"adds up to {duration_text(thoughts * workload.think_time_ns)}; {_LIMIT}",
            )


def script_times(experiment: Experiment) -> Iterator[Problem]:
    """The last of several equal requests of a script must arrive before the largest time."""
    workload = experiment.workload
    if not isinstance(workload, ScriptConfig):
        return
    for i, asked in enumerate(workload.requests):
        last_ns = asked.at_ns + (asked.times - 1) * asked.every_ns
        if last_ns > LAST_NS:
            text = f"has the last of them come after {duration_text(last_ns)}; {_LIMIT}"
            yield Problem(("workload", "requests", i, "times"), text)


def steps(experiment: Experiment) -> Iterator[Problem]:
    """A step must not take longer than the largest time, also on real ranks."""
    model = experiment.model
    step_ns = longest_step_ns(
        experiment.slowest_model,
        experiment.executor,
        experiment.largest_cache,
        experiment.workload,
    )
    real_ns = step_ns * max(Fraction(model.time_scale), Fraction(1))
    if real_ns > LAST_NS:
        text = f"makes steps take up to {duration_text(real_ns)}; {_LIMIT}"
        yield Problem(("model",), text)


def calibrated_steps(experiment: Experiment) -> Iterator[Problem]:
    """Nor may an iteration, with what calibration adds to it."""
    more_ns = calibrated_ns(
        experiment.calibration,
        experiment.executor,
        experiment.transceiver,
        experiment.largest_cache,
        experiment.slowest_model,
        experiment.topology.most_ranks,
    )
    if more_ns > LAST_NS:
        text = f"makes iterations take up to {duration_text(more_ns)} longer; {_LIMIT}"
        yield Problem(("calibration",), text)


def answers(experiment: Experiment) -> Iterator[Problem]:
    """The longest request, served alone, must be answered before the largest time."""
    workload, model = experiment.workload, experiment.model
    if not isinstance(model, CostedModelConfig):
        return
    if isinstance(workload, PoissonConfig | ClosedLoopConfig):
        alone_ns = _alone_ns(model, workload.prompt_tokens.max, workload.output_tokens.max)
        if alone_ns > LAST_NS:
            yield Problem(("workload",), f"has {_takes(alone_ns)}")
    elif isinstance(workload, ScriptConfig):
        for i, asked in enumerate(workload.requests):
            alone_ns = _alone_ns(model, asked.prompt_tokens, asked.output_tokens)
            if alone_ns > LAST_NS and not asked.invalid:
                yield Problem(("workload", "requests", i), f"is {_takes(alone_ns)}")


def skews(experiment: Experiment) -> Iterator[Problem]:
    """Faults must not set a clock ahead beyond the largest time."""
    ahead_ns = 0
    for i, fault in enumerate(experiment.faults):
        if fault.kind == "skew":
            ahead_ns += (fault.count or 1) * (fault.duration_ns or 0)
            if ahead_ns > LAST_NS:
                text = f"puts a clock {duration_text(ahead_ns)} ahead by now; {_LIMIT}"
                yield Problem(("faults", i, "duration"), text)
                return


def _alone_ns(model: CostedModelConfig, prompt: int, output: int) -> Fraction:
    """The time in nanoseconds of a request that is served alone and prefilled in one chunk."""
    made = output - 1
    read = made * (prompt + 1) + made * (made - 1) // 2
    costs = model.costs
    # All of its steps as one, plus the base cost of each further step.
    together_ns = costs.step_ns(prompt, prompt * (prompt + 1) // 2, made, read)
    return Fraction(together_ns + costs.base_ns * made)


def _takes(alone_ns: Fraction) -> str:
    return f"a request that takes {duration_text(alone_ns)}, served alone; {_LIMIT}"
