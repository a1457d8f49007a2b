"""Do the plain and the compiled build write the same bytes?

`python -m tests.compiled.compare` (`make same-bytes`) runs all regressions, random experiments (300
unless `--seeds` says otherwise) and the conversation trace with `.venv` and with `.venv-fast`. All
files must be the same, byte for byte, but for wall time and build in `summary.json`. Where the
trace is not found, it says so.

Exits with 0 if there is no difference, 1 if there is, 2 if a build is missing.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from adpkv.bench.catalogue import TRACES
from tests.worlds.virtual.experiments import experiment, replicated, staged

ROOT = Path(__file__).parents[2]
BUILDS = {"python": ROOT / ".venv", "compiled": ROOT / ".venv-fast"}
KINDS = (experiment, replicated, lambda seed: staged(experiment(seed)))
OF_THE_RUN = re.compile(rb'"(wall_s|build)":\s*("[a-z]+"|[0-9.e+-]+)')
"""What a run may say otherwise each time."""
BOUND_S = 1800


def differences(one: Path, other: Path) -> list[str]:
    """The files of two folders that are not the same."""
    names = {path.relative_to(top) for top in (one, other) for path in files(top)}
    return [str(name) for name in sorted(names) if told(one / name) != told(other / name)]


def files(top: Path) -> list[Path]:
    """All files below a folder."""
    return [path for path in top.rglob("*") if path.is_file()]


def told(path: Path) -> bytes | None:
    """What a file says, whoever wrote it and however long that took."""
    if not path.is_file():
        return None
    said = path.read_bytes()
    return OF_THE_RUN.sub(rb"\1", said) if path.name == "summary.json" else said


def run(build: str, top: Path, argv: Sequence[str | Path]) -> None:
    """Call a program of a build, outside the checkout. It writes to `top`, which it gets as a
    relative path: that is part of what some files say."""
    command = [BUILDS[build] / "bin" / argv[0], *argv[1:]]
    ended = subprocess.run(
        command, cwd=top.parent, capture_output=True, text=True, timeout=BOUND_S, check=False
    )
    if ended.returncode:
        sys.exit(f"{command[0]} {argv[1]}: ended with {ended.returncode}\n{ended.stderr[-2000:]}")


def write_experiments(folder: Path, seeds: int) -> None:
    """Random ones in turns of three kinds."""
    folder.mkdir()
    for seed in range(seeds):
        made = KINDS[seed % len(KINDS)](seed)
        (folder / f"{seed:05}.yaml").write_text(json.dumps(made))


def main(argv: Sequence[str]) -> int:
    """Run all with both; a line for each part."""
    parser = argparse.ArgumentParser(prog="tests.compiled.compare", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300)
    traces = (one.resolve() for one in TRACES if one.is_file())
    parser.add_argument("--trace", type=Path, default=next(traces, None))
    asked = parser.parse_args(argv)
    for name, folder in BUILDS.items():
        if not (folder / "bin" / "adpkv").exists():
            print(f"there is no {name} build in {folder}: make setup fast", file=sys.stderr)
            return 2
    with tempfile.TemporaryDirectory(prefix="adpkv-builds-") as scratch:
        return int(not compared(Path(scratch), asked.seeds, asked.trace))


def compared(scratch: Path, seeds: int, trace: Path | None) -> bool:
    """Whether all is the same."""
    write_experiments(scratch / "experiments", seeds)
    parts = {
        f"{seeds} random experiments": random_experiments,
        "all regressions": regressions,
    }
    if trace is not None:
        parts["conversation trace"] = lambda build, top: conversation(build, top, trace)
    else:
        print("conversation trace: not here, left out")
    same = True
    for part, perform in parts.items():
        tops = [scratch / build / part.replace(" ", "-") for build in BUILDS]
        for build, top in zip(BUILDS, tops, strict=True):
            top.mkdir(parents=True)
            perform(build, top)
        wrong = differences(*tops)
        number = len(files(tops[0]))
        print(f"{part}: {number - len(wrong)} of {number} files the same", *wrong[:10], sep="\n  ")
        same = same and not wrong and number > 0
    return same


def random_experiments(build: str, top: Path) -> None:
    """All in one process."""
    child = Path(__file__).with_name("child.py")
    run(build, top, ["python", "-I", child, build, top.parents[1] / "experiments", top.name])


def regressions(build: str, top: Path) -> None:
    """With the policies that they are about."""
    run(build, top, ["adpkv", "regress", "--quiet", "--out", top.name])


def conversation(build: str, top: Path, trace: Path) -> None:
    """The experiment that the trace figures are of."""
    override = f"workload.path={trace}"
    out = f"{top.name}/run"
    told = ["simulate", "conversation", "--quiet", "--set", override, "--out", out]
    run(build, top, ["adpkv", *told])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
