"""How many schedules of a small rank program `adpkv check` makes in a second, and what a collective
costs there."""

from __future__ import annotations

import statistics
import tempfile
from importlib.util import find_spec
from pathlib import Path
from time import process_time
from typing import Final

from adpkv.bench.figure import Figure, Target, figure
from adpkv.rank_programs.choices import FirstOption, RandomOption
from adpkv.rank_programs.session import Session, Settings
from adpkv.rank_programs.target import parse_target

__all__ = ["check"]

RANKS: Final = 4

COROUTINES: Final = """
async def few(rank):
    for _ in range(2):
        await rank.tp_allgather(rank.rank)

async def many(rank):
    for _ in range(200):
        await rank.tp_allgather(rank.rank)
"""

TORCH: Final = """
import torch
import torch.distributed as dist

def few():
    dist.init_process_group("gloo")
    dist.all_reduce(torch.ones(4))

def many():
    dist.init_process_group("gloo")
    x = torch.ones(4)
    for _ in range(200):
        dist.all_reduce(x)

def alone():
    dist.init_process_group("gloo")
    x = torch.ones(4)
    for _ in range(200):
        x + x
"""

LEAST_COROUTINES: Final = 5_000.0
LEAST_TORCH: Final = 400.0
MOST_COLLECTIVE_US: Final = 40.0
"""Issue 16: for 4 ranks and 16 switches, in a second of one core; per rank and collective."""


def check(*, schedules: int = 1_000, rounds: int = 5) -> list[Figure]:
    """Processor time of many schedules; of each figure the best of `rounds` rounds."""
    with tempfile.TemporaryDirectory(prefix="adpkv-bench-") as made:
        folder = Path(made)
        (folder / "own.py").write_text(COROUTINES)
        (folder / "over_torch.py").write_text(TORCH)
        found = [_rate("check, coroutines", folder / "own.py", schedules, rounds, LEAST_COROUTINES)]
        if find_spec("torch") is not None:
            over_torch = folder / "over_torch.py"
            found.append(_rate("check, torch", over_torch, schedules, rounds, LEAST_TORCH))
            found.append(_collective(over_torch, rounds))
    return found


def _rate(name: str, file: Path, schedules: int, rounds: int, least: float) -> Figure:
    """Schedules of the small program in a second of processor time."""
    with Session(parse_target(f"{file}:few"), Settings(RANKS)) as session:
        session.perform(FirstOption())  # what is imported, is
        rates, switches = [], []
        for number in range(rounds):
            began_s = process_time()
            for seed in range(schedules // rounds):
                world = session.perform(RandomOption(number * schedules + seed))
                switches.append(world.switches)
            rates.append(schedules // rounds / (process_time() - began_s))
    return figure(
        name,
        max(rates),
        "schedules/s",
        target=Target("value", ">=", least),
        note=f"{RANKS} ranks, {statistics.mean(switches):.0f} switches a schedule, in a second of"
        " processor time",
    )


def _collective(file: Path, rounds: int) -> Figure:
    """What a rank's part of an all_reduce costs, beyond a program without it."""
    costs = {}
    for function in ("many", "alone"):
        with Session(parse_target(f"{file}:{function}"), Settings(RANKS)) as session:
            session.perform(FirstOption())
            taken = []
            for _ in range(rounds):
                began_s = process_time()
                session.perform(FirstOption())
                taken.append(process_time() - began_s)
            costs[function] = min(taken)
    each_us = (costs["many"] - costs["alone"]) / (200 * RANKS) * 1e6
    return figure(
        "check, torch collective",
        each_us,
        "us",
        target=Target("value", "<=", MOST_COLLECTIVE_US),
        note="all_reduce of 4 floats, per rank, the hand-over to the next rank and the reduction"
        " included",
    )
