"""Run folders as a full disk, a killed run or a careless hand leaves them, for who reads them.

Three good ones are made once: of a run that ended, of one that got stuck (with its report, its
traces and a ring), and of one whose host failed. A damaged one is a copy.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from random import Random
from time import perf_counter_ns
from typing import Any, Final

import msgspec

from adpkv.config import load, parse
from adpkv.errors import AdpkvError
from adpkv.field_policies import assembly
from adpkv.flight_recorder.job_directory import JobInfo
from adpkv.worlds.virtual.run import simulate
from tests.flight_recorder.rings import collective, host
from tests.fuzz.inputs import SHIPPED, VALUES, damaged_lines, damaged_text, junk

__all__ = ["damage", "make"]

ENDED: Final[dict[str, Any]] = {
    "name": "ended",
    "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
    "transceiver": {"transfer_timeout": "100ms"},
    "faults": [
        {"kind": "stall", "requests": [1, 2], "duration": "200ms"},
        {"kind": "lose", "probability": 0.3},
        {"kind": "sigkill", "ranks": [3], "after": "150ms"},
    ],
    "on_rank_failure": "shrink",
    "recompute": True,
    "workload": {
        "kind": "closed_loop",
        "users": 3,
        "requests": 9,
        "prompt_tokens": {"min": 64, "max": 400},
        "output_tokens": {"min": 5, "max": 20},
    },
}
HOST_DIED: Final[dict[str, Any]] = ENDED | {
    "name": "host",
    "faults": [{"kind": "sigkill", "ranks": [0], "after": "30ms"}],
}
STUCK: Final = next(path for path in SHIPPED if path.name.startswith("03-"))
IDS: Final = (*VALUES, *range(9), 2**31, -(2**63), "began", "ended", "routed", [0], {"a": [[]]})
BIG: Final = b"[" * 100_000


def make(folder: Path) -> list[Path]:
    """The good ones."""
    found = []
    for experiment in (parse(ENDED, "ended"), load(STUCK), parse(HOST_DIED, "host")):
        out = folder / experiment.name
        with suppress(AdpkvError):
            simulate(experiment, out=out, assemble=assembly(experiment))
        found.append(out)
    _leave_rings(found[-1])
    return found


def _leave_rings(run: Path) -> None:
    """As a job's that was killed."""
    folder = run / "rings"
    folder.mkdir()
    for recorder in host(folder, 0, 1, 2)[0]:
        recorder.enter(collective(), 5, perf_counter_ns())
    note = JobInfo("made-up", 99_999_999, str(run), "here", 3, {}, "host", ["adpkv", "run"])
    (folder / "run.json").write_bytes(msgspec.json.encode(note))


def damage(draw: Random, whole: list[Path], copy: Path) -> Path:
    """A damaged copy of one of them."""
    shutil.copytree(draw.choice(whole), copy)
    for _ in range(draw.choice((1, 1, 2, 4))):
        files = sorted(path for path in copy.rglob("*") if path.is_file())
        if files:
            _damage_one(draw, draw.choice(files), files)
    return copy


def _damage_one(draw: Random, file: Path, files: list[Path]) -> None:
    way = draw.randrange(12)
    if way == 0:
        file.unlink()
    elif way == 1:
        file.write_bytes(b"")
    elif way == 2:
        file.unlink()
        file.mkdir()
    elif way == 3:
        file.write_bytes(draw.choice(files).read_bytes())
    elif way == 4:
        file.write_bytes(BIG)
    elif way == 5:
        raw = file.read_bytes()
        file.write_bytes(raw[: draw.randrange(len(raw) + 1)])
    elif way == 6 and file.name == "config.yaml":
        file.write_bytes(damaged_text(draw))
    elif way == 7 and file.suffix == ".json":
        _json(draw, file)
    elif way == 8:
        raw = bytearray(file.read_bytes() or b"\n")
        for _ in range(draw.choice((1, 8, 99))):
            raw[draw.randrange(len(raw))] = draw.randrange(256)
        file.write_bytes(raw)
    elif way == 9:
        file.write_bytes(junk(draw).encode("utf-8", "surrogatepass"))
    else:
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(damaged_lines(draw, lines, IDS))


def _json(draw: Random, file: Path) -> None:
    try:
        data = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return
    holder, keys = data, list(data) if isinstance(data, dict) else []
    for _ in range(draw.randrange(5)):
        below = [key for key in keys if isinstance(holder[key], dict | list) and holder[key]]
        if not below:
            break
        holder = holder[draw.choice(below)]
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    if keys:
        holder[draw.choice(keys)] = draw.choice(IDS)
        file.write_text(json.dumps(data))
