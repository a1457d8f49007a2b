"""Which benches there are, and what each needs to run at its full and at its quick size."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from msgspec import structs

from adpkv.bench.bare_world import bare_world
from adpkv.bench.check import check
from adpkv.bench.dynosim import DynoSim, check_python, cut
from adpkv.bench.explore import explore
from adpkv.bench.fault_seam import fault_seam
from adpkv.bench.figure import Figure
from adpkv.bench.polling import polling
from adpkv.bench.recording import recording
from adpkv.bench.scale import scale
from adpkv.bench.start import run_start, start
from adpkv.bench.sweep import sweep
from adpkv.bench.timeline import timeline
from adpkv.bench.trace import oracles, shares, trace
from adpkv.bench.trace_runs import TraceRuns
from adpkv.build import build
from adpkv.config import load
from adpkv.config.shipped import folder
from adpkv.config.workload import SAMPLE
from adpkv.errors import MissingPieceError, UsageError
from adpkv.workload import build as build_workload
from adpkv.workload import make_bursts
from adpkv.workload.building import SAMPLE as PACKAGED

__all__ = ["BENCHES", "CONVERSATION", "Settings", "chosen", "trace_runs"]

CONVERSATION: Final = "conversation.yaml"
"""The experiment of the trace figures, one of adpkv's own."""

TRACES: Final = tuple(
    Path(folder) / "conversation_trace.jsonl" for folder in (".", "traces", "../shared/traces")
)
"""Where its trace is looked for, from the current folder: it is not ours to ship."""

QUICK_REQUESTS: Final = 500

TURNS: Final = 5
"""Runs of a whole trace of which the median is taken."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the caller asked for."""

    quick: bool = False
    trace: Path | None = None
    """Instead of the trace that the experiment names."""
    dynosim: Path | None = None
    """A Python that has DynoSim, which then runs beside our simulation of a trace."""


Bench = Callable[[Settings], list[Figure]]


def _polling(settings: Settings) -> list[Figure]:
    return polling(polls=200, rounds=3) if settings.quick else polling()


def _fault_seam(settings: Settings) -> list[Figure]:
    return fault_seam(operations=2_000, rounds=3) if settings.quick else fault_seam()


def _recording(settings: Settings) -> list[Figure]:
    return recording(rounds=2_000, repetitions=5) if settings.quick else recording()


def _executor(settings: Settings) -> list[Figure]:
    _need_mpi("executor")
    from adpkv.bench.executor import executor

    if settings.quick:
        return executor(steps=3_000, idle_iterations=600)
    return executor()


def _trace(settings: Settings) -> list[Figure]:
    with _with_dynosim(settings) as (runs, whole):
        return trace(
            runs,
            repetitions=1 if settings.quick else TURNS,
            whole=whole,
            is_bound=not settings.quick,
        )


def _bursts(settings: Settings) -> list[Figure]:
    count = QUICK_REQUESTS if settings.quick else make_bursts.REQUESTS
    with tempfile.TemporaryDirectory(prefix="adpkv-bench-") as made:
        path = Path(made) / "bursts.jsonl"
        path.write_text("".join(f"{line}\n" for line in make_bursts.lines(count)))
        with _with_dynosim(Settings(trace=path, dynosim=settings.dynosim)) as (runs, _):
            found = trace(
                runs,
                repetitions=1 if settings.quick else TURNS,
                whole=False,
                is_bound=not settings.quick,
            )
    return [structs.replace(one, name=one.name.replace("virtual trace", "bursts")) for one in found]


def _oracles(settings: Settings) -> list[Figure]:
    runs, whole = trace_runs(settings)
    return oracles(runs, repetitions=1 if settings.quick else 3, whole=whole)


def _shares(settings: Settings) -> list[Figure]:
    if build() == "compiled":
        raise MissingPieceError(
            "bench shares needs plain Python: what mypyc has compiled has no frames to look at, and"
            " its time would be its callers'"
        )
    return shares(trace_runs(settings)[0])


def _scale(settings: Settings) -> list[Figure]:
    if settings.quick:
        return scale(sizes=(8, 64, 1024), rank_iterations=60_000, least_requests=500, repetitions=1)
    return scale()


def _bare_world(settings: Settings) -> list[Figure]:
    return bare_world(rounds=50, repetitions=3) if settings.quick else bare_world()


def _sweep(settings: Settings) -> list[Figure]:
    return sweep(points=12, every=4) if settings.quick else sweep()


def _check(settings: Settings) -> list[Figure]:
    return check(schedules=50, rounds=2) if settings.quick else check()


def _explore(settings: Settings) -> list[Figure]:
    return explore(batches=2) if settings.quick else explore()


def _timeline(settings: Settings) -> list[Figure]:
    return timeline(requests=200, repetitions=3) if settings.quick else timeline()


def _start(settings: Settings) -> list[Figure]:
    found = start(turns=3) if settings.quick else start()
    if find_spec("mpi4py") is not None:
        found += run_start(turns=1) if settings.quick else run_start()
    return found


def _transport(settings: Settings) -> list[Figure]:
    _need_mpi("transport")
    from adpkv.bench.transport import QUICK_CELLS, installed, transport

    kinds = installed()
    return transport(kinds, cells=QUICK_CELLS, rounds=5) if settings.quick else transport(kinds)


BENCHES: Final[dict[str, Bench]] = {
    "polling": _polling,
    "fault-seam": _fault_seam,
    "recording": _recording,
    "executor": _executor,
    "trace": _trace,
    "bursts": _bursts,
    "oracles": _oracles,
    "shares": _shares,
    "scale": _scale,
    "bare-world": _bare_world,
    "sweep": _sweep,
    "explore": _explore,
    "timeline": _timeline,
    "check": _check,
    "start": _start,
    "transport": _transport,
}
"""In the order of the table."""

READ: Final = {
    "--trace": ("trace", "oracles", "shares"),
    "--dynosim": ("trace", "bursts"),
}
"""Which benches an option changes."""


def _need_mpi(name: str) -> None:
    if find_spec("mpi4py") is None:
        raise MissingPieceError(
            f"bench {name} needs MPI: pip install 'adpkv[mpi]' brings mpi4py and Open MPI"
        )


def chosen(names: list[str], settings: Settings) -> dict[str, Bench]:
    """The benches of these names, in the table's order; all if there are none.

    Raises:
        UsageError: there is no bench of that name, none of them reads a setting, or what it names
            is not there. Benches that read it may come after a quarter of an hour.
    """
    for name in names:
        if name not in BENCHES:
            raise UsageError(f"there is no bench {name!r}; there are {', '.join(BENCHES)}")
    given = {"--trace": settings.trace, "--dynosim": settings.dynosim}
    for option, readers in READ.items():
        if names and given[option] is not None and not set(names) & set(readers):
            told = " and ".join([", ".join(readers[:-1]), readers[-1]])
            raise UsageError(f"{option} is only read by the benches {told}: leave it out")
    if settings.trace is not None:
        if not settings.trace.is_file():
            raise UsageError(f"--trace {settings.trace}: there is no such file")
        build_workload(load(folder() / CONVERSATION, trace_runs(settings)[0].overrides))
    if settings.dynosim is not None:
        check_python(settings.dynosim)
    return {name: bench for name, bench in BENCHES.items() if not names or name in names}


def trace_runs(settings: Settings) -> tuple[TraceRuns, bool]:
    """How to run the trace, and whether it is the whole one that the limits were set for.

    Where the experiment's trace is not there, the packaged sample takes its place.

    Raises:
        UsageError: there is no such trace.
    """
    experiment = folder() / CONVERSATION
    given = settings.trace or next((path for path in TRACES if path.is_file()), None)
    overrides, about = [f"workload.path={given.absolute() if given else SAMPLE}"], "the whole trace"
    if settings.quick:
        overrides.append(f"workload.limit={QUICK_REQUESTS}")
        about = f"the first {QUICK_REQUESTS} requests of the trace"
    if settings.trace is not None:
        about += f" {settings.trace.name}"
    elif given is None:
        about = "the packaged sample, as the experiment's trace is not here"
    load(experiment, overrides)
    return TraceRuns(experiment, overrides, about), bool(given) and not settings.quick


@contextmanager
def _with_dynosim(settings: Settings) -> Iterator[tuple[TraceRuns, bool]]:
    """The same, with DynoSim beside it if the caller says where it is. It replays whole files, so a
    part of a trace is made one meanwhile.

    Raises:
        UsageError: there is no such trace, or no such Python.
    """
    runs, whole = trace_runs(settings)
    if settings.dynosim is None:
        yield runs, whole
        return
    experiment = load(folder() / CONVERSATION, runs.overrides)
    path = Path(getattr(experiment.workload, "path", SAMPLE))
    path = PACKAGED if str(path) == SAMPLE else path
    with tempfile.TemporaryDirectory(prefix="adpkv-bench-") as made:
        if settings.quick:
            path = cut(path, QUICK_REQUESTS, Path(made) / path.name)
        runs.dynosim = DynoSim(settings.dynosim, path, experiment)
        yield runs, whole
