"""`adpkv validate`: is an experiment file correct, down to the lines of its trace?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from adpkv.cli.options import ExperimentFiles, Overrides
from adpkv.cli.remarks import look_here, remark
from adpkv.counting import counted

if TYPE_CHECKING:
    from adpkv.config import Experiment

__all__ = ["validate"]


def validate(
    files: ExperimentFiles,
    overrides: Overrides,
) -> None:
    """Check experiment files without running them; all problems at once."""
    from adpkv.cli.probe_ports import lacking
    from adpkv.config import load
    from adpkv.config.presets import preset_sentence
    from adpkv.config.shipped import named
    from adpkv.config.unused import unused_keys
    from adpkv.errors import UsageError
    from adpkv.output.advice import beforehand
    from adpkv.workload import build
    from adpkv.worlds.select_ports import chosen
    from adpkv.worlds.virtual.memory_check import memory_text

    problems = []
    for file in files:
        try:
            experiment = load(file, overrides)
            look_here(experiment)
            chosen(experiment, "")
            workload = build(experiment)
            swept = _sweep_sentence(experiment)
        except UsageError as error:
            problems.append(str(error))
        else:
            requests = counted(workload.total, "request")
            _tell(f"{named(file)}: fine, {_described(experiment)}, {requests}", indent="")
            _tell(memory_text(experiment, workload))
            _tell(swept)
            _tell(preset_sentence(experiment))
            for sentence in unused_keys(experiment):
                _tell(f"note: {sentence}")
            for sentence in lacking(experiment):
                _tell(f"note: adpkv run would refuse it here: {sentence}")
            remark(experiment)
            for sentence in beforehand(experiment):
                _tell(f"advice: {sentence}")
    if problems:
        raise UsageError("\n".join(problems))


def _tell(sentence: str, indent: str = "  ") -> None:
    """A line on stdout, in a window broken between words; none if it is empty."""
    from adpkv.output.tables import wrapped
    from adpkv.terminal import terminal_columns

    for part in wrapped(sentence, terminal_columns(sys.stdout), indent, "  ") if sentence else ():
        print(part)


def _sweep_sentence(experiment: Experiment) -> str:
    """What the `sweep` section comes to, every point of it checked; empty without one.

    Raises:
        UsageError: a point is not valid, or what is looked for is no figure.
    """
    if experiment.sweep is None or not experiment.sweep.vary:
        return ""
    from adpkv.sweeps.objectives import parse_goal
    from adpkv.sweeps.plan import check_points, make_plan

    plan = make_plan(experiment, "virtual")
    check_points(plan, look_here, by="sweep.vary")
    parse_goal(plan.config.optimize, plan.config.subject_to, plan.sample)
    points = (
        counted(len(plan.points), "point")
        if plan.points
        else f"a search of {counted(plan.trials, 'point')}"
    )
    seeds = "one seed" if len(plan.seeds) == 1 else f"{len(plan.seeds)} seeds"
    return f"adpkv sweep: {points} of {seeds}, {counted(plan.runs, 'run')}"


def _described(experiment: Experiment) -> str:
    topology = experiment.topology
    context, generation = topology.context, topology.generation
    if topology.servers:
        sizes = [" + ".join(map(str, of_kind)) for of_kind in topology.sizes()]
        return f"{topology.ranks} ranks (context {sizes[0]}, generation {sizes[1]})"
    return (
        f"{topology.ranks} ranks ({context.instances} context x {context.ranks},"
        f" {generation.instances} generation x {generation.ranks})"
    )
