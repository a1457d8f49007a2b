"""Checks of the instances that differ from the others of their kind."""

from __future__ import annotations

from collections.abc import Iterator

from adpkv.config.experiment import Experiment
from adpkv.config.model import CustomModelConfig
from adpkv.config.problem import Problem

__all__ = ["server_costs", "server_instances"]


def server_instances(experiment: Experiment) -> Iterator[Problem]:
    """Each entry is about instances that exist, and each instance has one entry."""
    topology, seen = experiment.topology, set[int]()
    count = topology.context.instances + topology.generation.instances
    for i, server in enumerate(topology.servers):
        path = ("topology", "servers", i, "instances")
        if not server.instances:
            yield Problem(path, "must not be empty")
        for index in server.instances:
            if index >= count:
                yield Problem(path, f"{index} is no instance: they are 0 to {count - 1}")
            elif index in seen:
                yield Problem(path, f"{index} is there twice")
            seen.add(index)


def server_costs(experiment: Experiment) -> Iterator[Problem]:
    """A custom model knows no coefficients."""
    if not isinstance(experiment.model, CustomModelConfig):
        return
    for i, server in enumerate(experiment.topology.servers):
        if server.own_costs or server.preset:
            why = f"model.kind is {experiment.model.kind}, which has no such costs"
            yield Problem(("topology", "servers", i), f"must have no costs: {why}")
