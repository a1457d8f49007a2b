"""Selects the ports of a run: those that its caller passes in, those that the experiment names, or
ours.

Everything that can be checked without a rank is checked here, before a folder is made or a process
started.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final

import msgspec

from adpkv.config import Experiment
from adpkv.config.model import CostedModelConfig
from adpkv.config.named import CustomSection
from adpkv.errors import ConfigError, UsageError
from adpkv.memory.port import Memory
from adpkv.model.port import Model
from adpkv.plugins import (
    MEMORY,
    MODEL,
    POLICY,
    SLOTS,
    TRANSPORT,
    WORKLOAD,
    Factory,
    Slot,
    called,
    check_port,
    factory,
    fits,
)
from adpkv.transport.port import Transport
from adpkv.workload.port import Workload
from adpkv.worlds.assemble import build_model
from adpkv.worlds.custom_ports import OURS, Policy, Ports, RealMemory, VirtualMemory
from adpkv.worlds.once import once

__all__ = ["check", "chosen", "names_others"]

_PORTS: Final[Mapping[Slot, type]] = {
    WORKLOAD: Workload,
    MODEL: Model,
    POLICY: Policy,
    MEMORY: Memory,
    TRANSPORT: Transport,
}


def names_others(experiment: Experiment) -> bool:
    """Does the experiment name any port that is not ours?"""
    return any(_name(experiment, slot) not in slot.ours for slot in SLOTS)


def check(experiment: Experiment, world: str = "", ports: Ports = OURS) -> None:
    """Check that every port that the experiment names exists and fits, as far as possible without
    creating it.

    Args:
        experiment: names the ports.
        world: the world they are for, "virtual" or "mpi"; empty for any.
        ports: what the caller passes in; their counterparts in the experiment are not checked.

    Raises:
        ConfigError: with all problems.
    """
    problems = []
    for slot in SLOTS:
        if getattr(ports, slot.port.lower()) is None:
            try:
                _found(experiment, slot, world)
            except UsageError as error:
                problems.append(str(error))
    if problems:
        raise ConfigError(experiment.name, problems)


def chosen(experiment: Experiment, world: str, ports: Ports = OURS) -> Ports:
    """The ports of a run in this world, except the workload. None stands for ours, which the world
    creates itself: so is a model whose costs may differ between the instances.

    Raises:
        ConfigError: a port that the experiment names does not exist, or does not fit.
        UsageError: it cannot be created.
    """
    if ports is OURS and _name(experiment, WORKLOAD) in WORKLOAD.ours:
        others = once(experiment, "names_others", lambda: names_others(experiment))
        if not others:
            return OURS  # there is nothing that could be wrong, and nothing to create
    check(experiment, world, ports)
    return msgspec.structs.replace(
        ports,
        model=build_model(experiment)
        if ports.model is None and not isinstance(experiment.model, CostedModelConfig)
        else ports.model,
        policy=_policy(experiment) if ports.policy is None else ports.policy,
        memory=ports.memory or _each(experiment, MEMORY, world),
        transport=ports.transport or _each(experiment, TRANSPORT, world),
    )


def _policy(experiment: Experiment) -> Policy | None:
    name, port = _name(experiment, POLICY), _PORTS[POLICY]
    make = factory(POLICY, name, port)
    if make is None:
        return None
    arguments = fits(POLICY, name, make, {}, experiment)
    found: Policy = check_port(POLICY.key, called(POLICY, name, make, **arguments), port)
    return found


def _each(experiment: Experiment, slot: Slot, world: str) -> Callable[[Any], Any] | None:
    """A maker that creates the port for each rank from its setting; None for ours."""
    make = _found(experiment, slot, world)
    if make is None:
        return None
    name, port = _name(experiment, slot), _port(experiment, slot, world)
    return lambda setting: check_port(slot.key, called(slot, name, make, setting), port)


def _found(experiment: Experiment, slot: Slot, world: str) -> Factory | None:
    name = _name(experiment, slot)
    make = factory(slot, name, _port(experiment, slot, world), world)
    if make is None:
        return None
    if slot in (MEMORY, TRANSPORT):
        _must_take_a_setting(slot, name, make)
        return make
    section = getattr(experiment, slot.key.partition(".")[0])
    parameters = section.parameters if isinstance(section, CustomSection) else {}
    fits(slot, name, make, parameters, experiment)
    return make


def _must_take_a_setting(slot: Slot, name: str, make: Factory) -> None:
    try:
        inspect.signature(make).bind(None)
    except TypeError as error:
        raise UsageError(
            f"{slot.key}: {name} is called with one {slot.port}Setting for each rank: {error}"
        ) from None
    except ValueError:  # of C, without a signature
        return


def _name(experiment: Experiment, slot: Slot) -> str:
    found: str = attrgetter(slot.key)(experiment)
    return found


def _port(experiment: Experiment, slot: Slot, world: str) -> type:
    """The protocol that a port must implement. For a memory it depends on what moves its bytes in
    this world."""
    if slot is not MEMORY or not world:
        return _PORTS[slot]
    if world == "virtual":
        return VirtualMemory
    ours = experiment.transceiver.transport in TRANSPORT.ours
    return RealMemory if ours else Memory
