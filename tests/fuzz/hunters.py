"""Every hunter by its name: it makes one input of a seed, has it run, and says what was wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml

import adpkv
from adpkv.errors import UsageError
from adpkv.exit_codes import ExitCode
from tests.fuzz import folders, inputs, metamorphic
from tests.fuzz import signals as real
from tests.fuzz.child import Said, command
from tests.fuzz.experiments import experiment
from tests.fuzz.oracles import DEEPER, MOST_EVENTS, Judged, judge
from tests.fuzz.shrinking import shrunk
from tests.fuzz.tight import tight

__all__ = ["BAD_INPUTS", "HUNTERS", "Hunt", "good_folders", "smaller"]

DOCUMENTED: Final = frozenset(set(ExitCode) - {ExitCode.INTERNAL_ERROR})
"""Exit codes that a command may have: every one but that of a bug of ours."""


AGAIN: Final = 4
"""One experiment in so many is run a second time: what differs then does so in most."""


@dataclass(frozen=True, slots=True)
class Hunt:
    """What came of one input."""

    shown: str
    """The input, to be looked at."""
    found: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    code: int | None = None


def _yaml(data: Any) -> str:
    return str(yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=100))


# -- valid experiments -------------------------------------------------------------------------


CALIBRATED: Final = 5
"""Each so-manyth experiment may have a calibration."""


def whole(seed: int, folder: Path) -> Hunt:
    """An experiment over the whole schema, jumped and not."""
    return _judged(_seldom_calibrated(seed), seed)


def _seldom_calibrated(seed: int) -> dict[str, Any]:
    """With the schema's durations it takes so long that most could not be made without jumping."""
    data = experiment(seed)
    if seed % CALIBRATED:
        data.pop("calibration", None)
    return data


def limits(seed: int, folder: Path) -> Hunt:
    """A clean experiment with the shortest limits."""
    return _judged(tight(seed), seed)


def _judged(data: dict[str, Any], seed: int) -> Hunt:
    most = MOST_EVENTS if seed % DEEPER else DEEPER * MOST_EVENTS
    judged = judge(data, most, again=seed % AGAIN == 0)
    return Hunt(_yaml(data), judged.found, judged.left_out, judged.code)


MADE_BY: Final = {"whole": _seldom_calibrated, "limits": tight}
"""Whose inputs are experiments that are looked at alone."""


def smaller(hunter: str, seed: int) -> str:
    """The least of an experiment in which the same is wrong; empty for other hunters' inputs."""
    if hunter not in MADE_BY:
        return ""
    data = MADE_BY[hunter](seed)
    kinds = _kinds(judge(data))
    return _yaml(shrunk(data, lambda one: _kinds(judge(one)) == kinds)) if kinds else ""


def _kinds(judged: Judged) -> set[str]:
    """What kinds of things were found, whatever their numbers."""
    return {wrong.partition(":")[0] for wrong in judged.found}


def _pair(pair: metamorphic.Pair) -> Hunt:
    data, found = pair
    return Hunt(_yaml(data), found or [], ["one of the two is too long"] if found is None else [])


def doubled(seed: int, folder: Path) -> Hunt:
    """At half the speed."""
    return _pair(metamorphic.doubled(seed))


def permuted(seed: int, folder: Path) -> Hunt:
    """With its ranks in other places."""
    return _pair(metamorphic.permuted(seed))


def relieved(seed: int, folder: Path) -> Hunt:
    """With one fault less."""
    return _pair(metamorphic.relieved(seed))


def told(seed: int, folder: Path) -> Hunt:
    """A small experiment from its file to its folder, and what the commands say of that."""
    data = experiment(seed)
    (folder / "it.yaml").write_text(_yaml(data), encoding="utf-8")
    said = command(["simulate", "it.yaml", "--out", "out", "--json", "--quiet"], folder, cpu_s=2)
    shown = _yaml(data)
    if said.took_too_long:
        return Hunt(shown, left_out=["simulate takes too long"])
    found = _wrong_with(said)
    out = folder / "out"
    if said.code == 2 and "longest run" not in said.err:
        return Hunt(shown, found + _left_by_a_refusal(out), code=2)
    summary = json.loads((out / "summary.json").read_text())
    if json.loads(said.out) != summary or summary["exit_code"] != said.code:
        found.append("summary.json is not what was printed, or has another code")
    if summary["requests"]["submitted"]:
        number = Random(seed).randrange(summary["requests"]["submitted"])
        has_events = data.get("observe", {}).get("events", True)
        told = command(["story", str(number), "--out", "out"], folder)
        found += _wrong_with(told, 0 if has_events else 2)
    found += _wrong_with(command(["inspect", "out"], folder), 2)
    return Hunt(shown, found, code=said.code)


# -- bad input ---------------------------------------------------------------------------------


def _wrong_with(said: Said, *codes: int) -> list[str]:
    """What no command may do, whatever it was given."""
    found = []
    if said.took_too_long:
        found.append(f"no end after a long time ({said.code})")
    elif said.code not in (codes or DOCUMENTED):
        found.append(f"exit code {said.code}: {said.err[-600:]}")
    if "Traceback" in said.err:
        found.append(f"a traceback: {said.err[-600:]}")
    if said.code == 2 and not said.err.strip():
        found.append("code 2, and not a word")
    return found


def _file(draw: Random, raw: bytes, folder: Path) -> Hunt:
    """A file is validated; if it is fine after all, it is also run."""
    (folder / "bad.yaml").write_bytes(raw)
    shown = raw.decode("utf-8", "backslashreplace")
    said = command(["validate", "bad.yaml"], folder)
    found = _wrong_with(said, 0, 2)
    if said.code == 2 and "bad.yaml" not in said.err and ".jsonl" not in said.err:
        found.append(f"the file is not named: {said.err[:300]}")
    if said.code == 0:
        found += _simulated(folder, "bad.yaml")
    return Hunt(shown, found, code=said.code)


def _simulated(folder: Path, *argv: str) -> list[str]:
    said = command(["simulate", *argv, "--out", "out", "--quiet"], folder, cpu_s=2)
    given_up = "assertion failed" in said.err and "Traceback" not in said.err
    if said.took_too_long or (said.code == ExitCode.INTERNAL_ERROR and given_up):
        return []  # the latter under a historical policy: a rank of the field gave up so
    found = _wrong_with(said)
    if said.code == 2 and "longest run" not in said.err:
        found += _left_by_a_refusal(folder / "out")
    return found


def _left_by_a_refusal(out: Path) -> list[str]:
    """A start that was refused leaves nothing; a run that was cut off by the end of time does."""
    if not out.exists():
        return []
    return [f"code 2, and leaves {sorted(path.name for path in out.iterdir())}"]


def text(seed: int, folder: Path) -> Hunt:
    """An experiment's file, damaged as text."""
    draw = Random(f"text {seed}")
    return _file(draw, inputs.damaged_text(draw), folder)


def values(seed: int, folder: Path) -> Hunt:
    """An experiment's file with other values."""
    draw = Random(f"values {seed}")
    return _file(draw, inputs.damaged_values(draw), folder)


def trace(seed: int, folder: Path) -> Hunt:
    """A damaged trace."""
    draw = Random(f"trace {seed}")
    raw = inputs.trace(draw)
    (folder / "bad.jsonl").write_bytes(raw)
    path = "--set=workload.path=bad.jsonl"
    said = command(["simulate", "trace-sample", path, "--out", "out", "--quiet"], folder, cpu_s=2)
    found = [] if said.took_too_long else _wrong_with(said)
    if said.code == 2 and "bad.jsonl" not in said.err:
        found.append(f"the trace is not named: {said.err[:300]}")
    if said.code == 2:
        found += _left_by_a_refusal(folder / "out")
    return Hunt(raw.decode("utf-8", "backslashreplace"), found, code=said.code)


def override(seed: int, folder: Path) -> Hunt:
    """A `--set` that is not what is taken."""
    draw = Random(f"override {seed}")
    arguments = [inputs.as_argument(inputs.argument(draw)) for _ in range(draw.choice((1, 1, 3)))]
    name = draw.choice(("quickstart", "four-ranks", "trace-sample", "closed-loop"))
    sets = [word for one in arguments for word in ("--set", one)]
    said = command(["validate", name, *sets], folder)
    found = _wrong_with(said, 0, 2)
    if said.code == 0 and draw.random() < 0.2:
        found += _simulated(folder, name, *sets)
    return Hunt(ascii([name, *sets]), found, code=said.code)


def line(seed: int, folder: Path) -> Hunt:
    """A command line."""
    draw = Random(f"line {seed}")
    run = folder / "run"
    shutil.copytree(good_folders()[1][0], run)
    (folder / "it.yaml").write_bytes(inputs.damaged_values(draw))
    argv = inputs.line(draw, "it.yaml", "run")
    said = command(argv, folder, cpu_s=2)
    may_take_long = said.took_too_long and "simulate" in argv
    return Hunt(ascii(argv), [] if may_take_long else _wrong_with(said), code=said.code)


@cache
def good_folders() -> tuple[TemporaryDirectory[str], list[Path]]:
    """The good run folders, and what removes them as this process ends."""
    place = TemporaryDirectory(prefix="adpkv-fuzz-")
    return place, folders.make(Path(place.name))


def run_folder(seed: int, folder: Path) -> Hunt:
    """A damaged run folder, read."""
    draw = Random(f"folder {seed}")
    run = folders.damage(draw, good_folders()[1], folder / "run")
    shown, found = [str(run)], []
    as_json = ["--json"] if draw.random() < 0.4 else []
    for argv in (["story", str(draw.randrange(10)), "--out", "run"], ["inspect", "run"]):
        said = command([*argv, *as_json], folder)
        shown.append(f"{argv}: {said.code} {said.err[:300]}")
        found += [f"{argv}: {wrong}" for wrong in _wrong_with(said, 0, 2)]
    try:
        adpkv.load_run(run)
    except UsageError as error:
        shown.append(f"load_run: {str(error)[:300]}")
    except Exception as error:
        found.append(f"load_run: {type(error).__name__}: {error}")
    return Hunt("\n".join(shown), found)


# -- real jobs ---------------------------------------------------------------------------------


def signals(seed: int, folder: Path) -> Hunt:
    """A real job, and a signal."""
    planned = real.plan(seed)
    ended = real.signalled(planned, folder)
    return Hunt(f"{planned}\n{ended}", real.judged(planned, ended), code=ended.code)


BAD_INPUTS: Final = ("text", "values", "trace", "override", "line", "run_folder")
HUNTERS: Final[Mapping[str, Callable[[int, Path], Hunt]]] = {
    hunter.__name__: hunter
    for hunter in (
        *(whole, limits, doubled, permuted, relieved, told),
        *(text, values, trace, override, line, run_folder, signals),
    )
}
"""In the order in which they are described."""
