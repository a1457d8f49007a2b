"""adpkv as a library: load an experiment, simulate it or run it, and read its result.

The functions here have no side effects beyond what the caller asks for: they install no signal
handler, create no folder and change no interpreter setting. They may be called from any thread, and
from several threads at once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from adpkv.errors import RankLostError, StuckError, UsageError

if TYPE_CHECKING:
    from adpkv.config import Experiment
    from adpkv.exploration.campaign import Campaign
    from adpkv.exploration.result import Exploration
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
    from adpkv.sweeps.result import Sweep

__all__ = ["explore", "load", "load_run", "load_sweep", "run", "simulate", "sweep", "write_report"]


def load(
    source: Experiment | Mapping[str, Any] | Path | str,
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002  the same word as --set
) -> Experiment:
    """Load an experiment and check it.

    Args:
        source: a YAML file, the name of an experiment that comes with adpkv (`adpkv configs` lists
            them), a mapping of sections, or an `Experiment`, which is checked again.
        set: values to replace, by their path: `{"workload.rate": 40, "faults.0.count": 2}`.

    Raises:
        ConfigError: the experiment is not valid; the error lists all problems, each with its path.
        UsageError: an argument has the wrong type.
    """
    from adpkv.config import Experiment, load, load_data
    from adpkv.config.plain import plain
    from adpkv.config.shipped import find

    changes = {} if set is None else plain(set)
    if not isinstance(changes, Mapping):
        raise UsageError(f"set= takes values by their paths, not {type(set).__name__}")
    if isinstance(source, Path | str):
        return load(find(_path(source)).path, changes)
    if isinstance(source, Experiment):
        return load_data(source.model_dump(by_alias=True), source.name, changes)
    if isinstance(source, Mapping):
        return load_data(plain(source), str(source.get("name", "experiment")), changes)
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
        experiment, set: as for `load`.
        seed: replaces the experiment's seed.
        out: the folder to write the run into: a new or empty folder, or that of an earlier run.
            None writes no folder.
        jump: skip over stretches of virtual time in which nothing is decided. The result is the
            same with False; only the wall time differs.
        workload, model, policy: replace the experiment's own: an object that implements the port of
            that name in `adpkv.ports`, or a function that takes the experiment and returns one.
        memory, transport: a function that makes the memory or transport of one rank from a
            `MemorySetting` or `TransportSetting`.

    Each of the last five may also be a name, as in an experiment file: `mypackage.module:Factory`.

    A stuck run is no error but a result with a `report`; so is any other end but that with 70.

    Raises:
        ConfigError: the experiment is not valid.
        UsageError: it cannot be run here, `out` cannot be written, or an object is no such port.
        RankProgramError: a historical `policy` of it ends one rank's program.
    """
    from adpkv import ports as port
    from adpkv.field_policies import assembly
    from adpkv.plugins import MEMORY, MODEL, POLICY, TRANSPORT, WORKLOAD
    from adpkv.results import load_run, of_simulation
    from adpkv.worlds.custom_ports import Ports, given, maker
    from adpkv.worlds.virtual import run as world
    from adpkv.worlds.virtual.in_memory import simulate_in_memory

    checked = load(experiment, set=_seeded(set, seed))
    names = {WORKLOAD: workload, MODEL: model, POLICY: policy, MEMORY: memory, TRANSPORT: transport}
    checked = _naming(checked, {slot: one for slot, one in names.items() if isinstance(one, str)})
    assemble = assembly(checked)
    custom = Ports(
        None if _by_name(workload) else given("workload", workload, port.Workload, checked),
        None if _by_name(model) else given("model", model, port.Model, checked),
        None if _by_name(policy) else given("policy", policy, port.Policy, checked),
        None if _by_name(memory) else maker("memory", memory),
        None if _by_name(transport) else maker("transport", transport),
    )
    if out is None:
        found = simulate_in_memory(checked, jump=jump, assemble=assemble, ports=custom)
        return of_simulation(checked, *found)
    try:
        ended = world.simulate(
            checked,
            out=_path(out),
            jump=jump,
            assemble=assemble,
            around=lambda job: nullcontext(),
            ports=custom,
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
        ranks: how many ranks the caller expects. The number follows from the experiment's topology;
            another one here is an error.
        out: the folder to write the run into. If None, the result is read into memory and no folder
            is left behind.
        timeout_s: after this many seconds the ranks are asked to stop. They agree on it, answer
            all open requests and end. None: only the experiment's own limits apply.
        workload, model, policy, memory, transport: replace the experiment's own: a name as in an
            experiment file, `mypackage.module:Factory`; or a class or function that every rank can
            import by its module and name. `functools.partial` passes parameters.

    Raises:
        ConfigError: the experiment is not valid.
        UsageError: the experiment cannot be run, MPI is missing, or another process cannot import
            a custom class or function. Nothing was started.
        AdpkvError: the run ended and left no readable result.
    """
    from adpkv.plugins import MEMORY, MODEL, POLICY, TRANSPORT, WORKLOAD
    from adpkv.plugins.arguments import as_seconds
    from adpkv.results import load_run
    from adpkv.worlds.mpi.launcher.calling import call_run

    timeout_s = as_seconds("timeout_s", timeout_s)
    custom = {
        WORKLOAD: workload,
        MODEL: model,
        POLICY: policy,
        MEMORY: memory,
        TRANSPORT: transport,
    }
    checked = _naming(load(experiment, set=set), custom)
    needed = checked.topology.ranks
    if ranks is not None and ranks != needed:
        raise UsageError(f"the experiment has {needed} ranks, not {ranks}: change its topology")
    if out is not None:
        call_run(checked, _path(out), timeout_s)
        return load_run(out)
    with tempfile.TemporaryDirectory(prefix="adpkv-run-") as folder:
        call_run(checked, Path(folder) / "out", timeout_s)
        return load_run(Path(folder) / "out").without_folder()


def _seeded(changes: Mapping[str, Any] | None, seed: int | None) -> Mapping[str, Any] | None:
    """The values of `set` with the seed among them; what is no mapping is refused by `load`."""
    if seed is None or not isinstance(changes, Mapping | None):
        return changes
    return {**(changes or {}), "seed": seed}


def _by_name(custom: object) -> bool:
    return custom is None or isinstance(custom, str)


def _naming(experiment: Experiment, custom: Mapping[Slot, object]) -> Experiment:
    """The experiment with these factories named in it; the names are checked as those in a file."""
    from adpkv.config.model import SHAPE
    from adpkv.plugins import MODEL
    from adpkv.plugins.naming import named

    changes: dict[str, Any] = {}
    for slot, one in custom.items():
        if one is None:
            continue
        name, parameters = named(slot, one)
        if not slot.parameters:
            changes[slot.key] = name
            continue
        # Another kind of model has other keys, but the shape of the KV cache stays as it was.
        own = experiment.model_dump(by_alias=True)["model"] if slot is MODEL else {}
        kept = {key: own[key] for key in SHAPE if key in own}
        changes[slot.key.partition(".")[0]] = {"kind": name, **kept, **parameters}
    return load(experiment, set=changes) if changes else experiment


def load_run(path: Path | str) -> Result:
    """Read the result of a run from its folder, also if the run was killed or is still going on.

    Raises:
        UsageError: the folder is not that of a run.
    """
    from adpkv.results import load_run

    return load_run(_path(path))


def sweep(
    experiment: Experiment | Mapping[str, Any] | Path | str,
    *,
    vary: Mapping[str, Any] | None = None,
    zip: Sequence[Sequence[str]] = (),  # noqa: A002  the same word as --zip
    design: Literal["grid", "random", "latin"] | None = None,
    points: int | None = None,
    seeds: int | None = None,
    set: Mapping[str, Any] | None = None,  # noqa: A002  the same word as --set
    world: Literal["virtual", "mpi"] = "virtual",
    jobs: int | None = None,
    limit_s: float | None = None,
    out: Path | str | None = None,
    keep: bool = False,
    on_progress: Callable[[int, int, int, int], None] | None = None,
) -> Sweep:
    """Run an experiment with many settings, side by side in processes of their own.

    Args:
        experiment, set: as for `load`; its `sweep` section counts too.
        vary: the axes: from a path to a list of values, or to a text such as `512..4096*2`.
        zip: groups of axes that go together.
        design, points: every combination, or so many points drawn `random`ly or as a `latin`
            hypercube.
        seeds: how often each point is run, with the experiment's seed, the next one, and so on.
        world: in virtual time, or on real ranks.
        jobs: how many runs go side by side: as many as there are cores; real ones one at a time.
        limit_s: a run that takes longer, in seconds of wall time, is ended.
        out: the folder for the table and all that is needed to go on, new or empty. None: no folder
            is left behind.
        keep: keep the folder of each run in `out`.
        on_progress: called often with how many runs have ended, how many there are, how many are
            under way, and how many did not complete.

    A run that fails is a row like any other, with its outcome and error. Your own pieces go by
    name, as in a file.

    Raises:
        ConfigError: an axis or a point is not valid; the error lists all problems. Nothing has run.
        UsageError: it cannot be run, or `out` cannot be written.
    """
    from adpkv.config.plain import plain
    from adpkv.plugins.arguments import as_callable, as_seconds, as_whole
    from adpkv.sweeps.calling import sweep_into

    jobs, limit_s = as_whole("jobs", jobs), as_seconds("limit_s", limit_s)
    as_callable("on_progress", on_progress)
    if world not in ("virtual", "mpi"):
        raise UsageError(f"world {world!r}: must be 'virtual' or 'mpi'")
    given = {"vary": vary, "zip": zip, "design": design, "points": points, "seeds": seeds}
    checked = load(experiment, set=set)
    told = {key: plain(one) for key, one in given.items()}
    changes = {key: one for key, one in told.items() if not _is_absent(one)}
    watch = on_progress or (lambda done, total, busy, failed: None)
    if out is not None:
        return sweep_into(
            checked, changes, _path(out), world, jobs, limit_s, watch, keep=keep or world == "mpi"
        )
    with tempfile.TemporaryDirectory(prefix="adpkv-sweep-") as folder:
        made = sweep_into(
            checked, changes, Path(folder), world, jobs, limit_s, watch, keep=world == "mpi"
        )
        return made.without_folder()


def explore(
    experiment: Experiment | Mapping[str, Any] | Path | str,
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002  the same word as --set
    seeds: tuple[int, int] | None = None,
    for_s: float | None = None,
    strategy: str = "random",
    jobs: int | None = None,
    finds: int | None = None,
    out: Path | str | None = None,
    on_progress: Callable[[Campaign], None] | None = None,
) -> Exploration:
    """Look for a schedule, faults and cancels under which an oracle speaks, and make it small.

    Args:
        experiment, set: as for `load`. Its workload is varied: poisson, closed_loop or script.
        seeds: from the first to below the second; by default 0 to 1,000, or with `for_s` from 0 on.
        for_s: begin no more seeds after so many seconds of wall time.
        strategy: `random`, `pct:DEPTH` or `guided`; or `exhaustive`: all interleavings of a script
            as it is, in this process, without `seeds`, `jobs`, `on_progress`.
        jobs: how many processes work: as many as there are cores; 1 is this process itself.
        finds: end after so many different finds.
        out: a new or empty folder for `explore.json` and all that is needed to go on. None: no
            folder is left behind; the result has the replay files as texts.
        on_progress: called with what is done so far, after each batch of seeds.

    Raises:
        ConfigError: the experiment is not valid.
        UsageError: it cannot be varied, an argument is wrong, or `out` cannot be written.
    """
    from adpkv.exploration.library import Asked, explored

    asked = Asked(seeds, for_s, strategy, jobs, finds, on_progress)
    return explored(load(experiment, set=set), asked, None if out is None else _path(out))


def load_sweep(path: Path | str) -> Sweep:
    """Read a sweep from its folder, also if it was interrupted or is still going on.

    Raises:
        UsageError: the folder is not that of a sweep.
    """
    from adpkv.sweeps.result import load_sweep

    return load_sweep(_path(path))


def write_report(
    source: Path | str | Result | Sweep,
    out: Path | str | None = None,
    *,
    format: Literal["html", "svg", "png"] = "html",  # noqa: A002  the same word as --format
    plots: Sequence[str] = (),
    theme: Literal["light", "dark"] = "light",
) -> list[Path]:
    """Write a report of a run or a sweep: a page of plots, or each plot as a file.

    Args:
        source: the folder of a run or a sweep, or a result.
        out: the page, or the folder of the plots. None: `report.html` or `plots` in the folder of
            the run or sweep.
        format: `html` is one page, which opens without a network.
        plots: only these, by the names that the page and an error list; not for a page.
        theme: the colours of plots as files; a page follows its reader.

    Returns:
        The files.

    Raises:
        UsageError: there is no run or sweep, nothing to report, or `out` cannot be written.
        MissingPieceError: the extra `report` is not installed.
    """
    from adpkv.reports.calling import write_report

    found = _path(source) if isinstance(source, Path | str) else source
    return write_report(
        found, None if out is None else _path(out), format, plots=plots, theme=theme
    )


def _is_absent(told: object) -> bool:
    return told is None or (isinstance(told, list) and not told)


def _path(asked: object) -> Path:
    if not isinstance(asked, Path | str) or "\0" in str(asked):
        raise UsageError(f"{asked!r} is no path")
    return Path(asked)
