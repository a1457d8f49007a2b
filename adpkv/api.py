"""adpkv as a library: load an experiment, simulate it or run it, and look at what it came to.

Nothing here touches what the caller has not asked for: no signal handler, no folder, no setting of
the interpreter; calls may come from any thread, several at once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adpkv.errors import RankLostError, StuckError, UsageError

if TYPE_CHECKING:
    from adpkv.config import Experiment
    from adpkv.plugins import Slot
    from adpkv.ports import (
        Memory,
        MemorySetting,
        Model,
        Policy,
        RealTransportSetting,
        Transport,
        TransportSetting,
        VirtualMemory,
        Workload,
    )
    from adpkv.results import Result

__all__ = ["load", "load_run", "run", "simulate"]


def load(
    source: Experiment | Mapping[str, Any] | Path | str,
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002  the same word as --set
) -> Experiment:
    """An experiment, checked.

    Args:
        source: a YAML file, the name of an experiment that comes with adpkv (`adpkv configs` lists
            them), the sections as a mapping, or an `Experiment`, which is checked again.
        set: values to replace, by their path: `{"workload.rate": 40, "faults.0.count": 2}`.

    Raises:
        ConfigError: with all problems at once, each with its path.
    """
    from adpkv.config import Experiment, load, load_data
    from adpkv.config.shipped import find

    changes = {} if set is None else set
    if not isinstance(changes, Mapping):
        raise UsageError(f"set= takes values by their paths, not {type(set).__name__}")
    if isinstance(source, Path | str):
        return load(find(_path(source)).path, changes)
    if isinstance(source, Experiment):
        return load_data(source.model_dump(by_alias=True), source.name, changes)
    if isinstance(source, Mapping):
        return load_data(dict(source), str(source.get("name", "experiment")), changes)
    raise UsageError(
        f"an experiment is a path, a name, a mapping or an Experiment, not {type(source).__name__}"
    )


def simulate(
    experiment: Experiment | Mapping[str, Any] | Path | str,
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002  the same word as --set
    seed: int | None = None,
    out: Path | str | None = None,
    jump: bool = True,
    workload: Workload | Callable[[Experiment], Workload] | str | None = None,
    model: Model | Callable[[Experiment], Model] | str | None = None,
    policy: Policy | Callable[[Experiment], Policy] | str | None = None,
    memory: Callable[[MemorySetting], VirtualMemory] | str | None = None,
    transport: Callable[[TransportSetting], Transport] | str | None = None,
) -> Result:
    """Run an experiment in virtual time, in this process.

    Args:
        experiment, set: what `load` takes.
        seed: instead of the experiment's.
        out: the folder to leave behind, which must be new, empty or a former run's; none if None.
        jump: jump over quiet stretches of virtual time; the result is the same without.
        workload, model, policy: in place of the experiment's: an object that keeps the port of
            `adpkv.ports`, or what makes one of the experiment.
        memory, transport: what makes those of each rank, of a `MemorySetting`, `TransportSetting`.

    Each of these five may also be a name, as the experiment takes it: `mypackage.module:Factory`.

    A run that got stuck is a result with a `report`, not an error; so is one that ended in any
    other way that the exit codes name. The experiment's `policy` is honoured.

    Raises:
        UsageError: the experiment cannot be run, does not fit into memory, `out` cannot be written,
            or a custom one does not keep its port.
    """
    from adpkv import ports as port
    from adpkv.field_policies import assembly
    from adpkv.plugins import MEMORY, MODEL, POLICY, TRANSPORT, WORKLOAD
    from adpkv.results import load_run, of_simulation
    from adpkv.worlds.custom_ports import Ports, given, maker
    from adpkv.worlds.virtual import run as world
    from adpkv.worlds.virtual.in_memory import simulate_in_memory

    checked = load(experiment, set=set if seed is None else {**(set or {}), "seed": seed})
    names = {WORKLOAD: workload, MODEL: model, POLICY: policy, MEMORY: memory, TRANSPORT: transport}
    checked = _naming(checked, {slot: one for slot, one in names.items() if isinstance(one, str)})
    assemble = assembly(checked)
    brought = Ports(
        None if _by_name(workload) else given("workload", workload, port.Workload, checked),
        None if _by_name(model) else given("model", model, port.Model, checked),
        None if _by_name(policy) else given("policy", policy, port.Policy, checked),
        None if _by_name(memory) else maker("memory", memory),
        None if _by_name(transport) else maker("transport", transport),
    )
    if out is None:
        found = simulate_in_memory(checked, jump=jump, assemble=assemble, ports=brought)
        return of_simulation(checked, found.summary, found.requests, found.events, found.error)
    try:
        ended = world.simulate(
            checked,
            out=_path(out),
            jump=jump,
            assemble=assemble,
            around=lambda job: nullcontext(),
            ports=brought,
        )
    except (StuckError, RankLostError):
        return load_run(out)
    return load_run(ended.folder)


def run(
    experiment: Experiment | Mapping[str, Any] | Path | str,
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002  the same word as --set
    ranks: int | None = None,
    out: Path | str | None = None,
    timeout_s: float | None = None,
    workload: Callable[..., Workload] | str | None = None,
    model: Callable[..., Model] | str | None = None,
    policy: Callable[..., Policy] | str | None = None,
    memory: Callable[[MemorySetting], Memory] | str | None = None,
    transport: Callable[[RealTransportSetting], Transport] | str | None = None,
) -> Result:
    """Run an experiment on real ranks of this machine, started with mpirun.

    Args:
        experiment, set: what `load` takes.
        ranks: how many there are to be; the experiment says how many it takes, and must agree.
        out: the folder to leave behind; if None all is read into memory, and nothing stays.
        timeout_s: after so many seconds the ranks are asked to stop, which they agree on and
            answer what is open; None to leave that to the experiment's own limits.
        workload, model, policy, memory, transport: in place of the experiment's: a name as the
            experiment takes it, `mypackage.module:Factory`, or a class or function that every rank
            can import under its own name, with `functools.partial` for parameters.

    Raises:
        UsageError: the experiment cannot be run, MPI is missing, or a custom one cannot be
            found by another process; nothing was started.
        AdpkvError: it ended without leaving anything that could be read.
    """
    from adpkv.plugins import MEMORY, MODEL, POLICY, TRANSPORT, WORKLOAD
    from adpkv.results import load_run
    from adpkv.worlds.mpi.launcher.calling import call_run

    brought = {
        WORKLOAD: workload,
        MODEL: model,
        POLICY: policy,
        MEMORY: memory,
        TRANSPORT: transport,
    }
    checked = _naming(load(experiment, set=set), brought)
    needed = checked.topology.ranks
    if ranks is not None and ranks != needed:
        raise UsageError(f"the experiment has {needed} ranks, not {ranks}: change its topology")
    if out is not None:
        call_run(checked, _path(out), timeout_s)
        return load_run(out)
    with tempfile.TemporaryDirectory(prefix="adpkv-run-") as folder:
        call_run(checked, Path(folder) / "out", timeout_s)
        return load_run(Path(folder) / "out").without_folder()


def _by_name(brought: object) -> bool:
    return brought is None or isinstance(brought, str)


def _naming(experiment: Experiment, brought: Mapping[Slot, object]) -> Experiment:
    """The experiment with the names of a custom one, which are checked as those of a file."""
    from adpkv.config.model import SHAPE
    from adpkv.plugins import MODEL, named

    changes: dict[str, Any] = {}
    for slot, one in brought.items():
        if one is None:
            continue
        name, parameters = named(slot, one)
        if not slot.parameters:
            changes[slot.key] = name
            continue
        # Another kind has other keys; but the shape of the KV cache is that of the experiment.
        own = experiment.model_dump(by_alias=True)["model"] if slot is MODEL else {}
        kept = {key: own[key] for key in SHAPE if key in own}
        changes[slot.key.partition(".")[0]] = {"kind": name, **kept, **parameters}
    return load(experiment, set=changes) if changes else experiment


def load_run(path: Path | str) -> Result:
    """The result of a run from its folder; also of one that was killed, or is still at work.

    Raises:
        UsageError: it is no folder of a run.
    """
    from adpkv.results import load_run

    return load_run(_path(path))


def _path(asked: object) -> Path:
    if not isinstance(asked, Path | str) or "\0" in str(asked):
        raise UsageError(f"{asked!r} is no path")
    return Path(asked)
