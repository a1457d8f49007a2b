"""Do two checkouts simulate alike? Compares what they write, once names are mapped old to new.

`python -m tests.renaming.compare OLD NEW` runs `adpkv simulate` of both, each with its own `.venv`,
over every file in `configs/` of OLD. Exit code, `events.jsonl` and `requests.jsonl` must be the
same, byte for byte, after `map.yaml` has been applied to those of OLD. A difference is printed with
file, line and both texts.

Exits with 0 if there is no difference, 1 if there is, and 2 if the call is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec
import yaml

MAP = Path(__file__).with_name("map.yaml")
OUTPUTS = ("events.jsonl", "requests.jsonl")
MOST_SHOWN = 5
"""Differences of one file that are printed; the rest are counted."""


class Renames(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is called otherwise in NEW; `map.yaml` explains each part."""

    files: dict[str, str] = {}
    events: dict[str, str] = {}
    keys: dict[str, str] = {}
    values: dict[str, dict[str, str]] = {}
    texts: dict[str, str] = {}

    def line(self, line: bytes) -> bytes:
        """A line of OLD as NEW must write it; one without a name in it stays as it is."""
        told = json.loads(line)
        renamed = self._renamed(told)
        if renamed == told and list(renamed) == list(told):
            return line
        return msgspec.json.encode(renamed) + b"\n"

    def _renamed(self, told: dict[str, Any]) -> dict[str, Any]:
        found = {self.keys.get(key, key): self._value(key, value) for key, value in told.items()}
        if "kind" in found:
            found["kind"] = self.events.get(found["kind"], found["kind"])
        return found

    def _value(self, key: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self._value(key, item) for item in value]
        if not isinstance(value, str):
            return value
        value = self.values.get(key, {}).get(value, value)
        for old, new in self.texts.items():
            value = value.replace(old, new)
        return value


def simulate(checkout: Path, config: str, out: Path) -> int:
    """Run one experiment with the program of a checkout; its exit code."""
    command = [checkout / ".venv/bin/adpkv", "simulate", checkout / config, "--quiet", "--out", out]
    return subprocess.run(command, cwd=checkout, capture_output=True, check=False).returncode


def names(checkout: Path) -> list[str]:
    """The packaged experiments, as `adpkv configs` lists them."""
    command = [checkout / ".venv/bin/adpkv", "configs", "--json"]
    told = subprocess.run(command, cwd=checkout, capture_output=True, check=True).stdout
    return [entry["name"] for entry in json.loads(told)]


def different_lines(old: list[bytes], new: list[bytes], renames: Renames) -> Iterator[str]:
    """Every difference of two files: the line, what NEW should have there, and what it has."""
    for number, (was, now) in enumerate(zip_longest(old, new), 1):
        wanted = None if was is None else renames.line(was)
        if wanted != now:
            yield f"line {number}\n  renamed: {wanted!r}\n  new:     {now!r}"


def different_runs(old: Path, new: Path, renames: Renames) -> Iterator[str]:
    """Every difference of two run folders, in the files that are compared."""
    for name in OUTPUTS:
        if (old / name).exists() != (new / name).exists():
            yield f"{name}: only one of the two is there"
        elif (old / name).exists():
            lines = [
                (folder / name).read_bytes().splitlines(keepends=True) for folder in (old, new)
            ]
            yield from (f"{name} {text}" for text in different_lines(*lines, renames))


def compare(old: Path, new: Path, config: str, renames: Renames, scratch: Path) -> list[str]:
    """Every difference of one experiment's two runs."""
    runs = [scratch / side / config for side in ("old", "new")]
    for run in runs:
        run.parent.mkdir(parents=True, exist_ok=True)
    codes = (
        simulate(old, config, runs[0]),
        simulate(new, renames.files.get(config, config), runs[1]),
    )
    wrong = [] if codes[0] == codes[1] else [f"exit code {codes[0]} of old, {codes[1]} of new"]
    return wrong + list(different_runs(*runs, renames))


def configs(old: Path, new: Path, renames: Renames) -> list[str]:
    """The experiment files of OLD, by their path in the checkout.

    Raises:
        ValueError: the files or packaged names of NEW are not those of OLD.
    """
    found = [
        sorted(str(path.relative_to(checkout)) for path in (checkout / "configs").rglob("*.yaml"))
        for checkout in (old, new)
    ]
    if sorted(renames.files.get(path, path) for path in found[0]) != found[1]:
        raise ValueError("the files in configs/ of the two are not the same")
    for checkout, paths in zip((old, new), found, strict=True):
        stems = [path.removeprefix("configs/").removesuffix(".yaml") for path in paths]
        if sorted(names(checkout)) != sorted(stems):
            raise ValueError(f"{checkout}: `adpkv configs` lists other names than configs/ has")
    return found[0]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--map", type=Path, default=MAP)
    parser.add_argument("--only", nargs="*", help="paths such as configs/quickstart.yaml")
    asked = parser.parse_args(arguments)
    old, new = asked.old.resolve(), asked.new.resolve()
    try:
        renames = msgspec.convert(yaml.safe_load(asked.map.read_text()) or {}, Renames)
        paths = asked.only or configs(old, new, renames)
    except (OSError, ValueError, yaml.YAMLError, subprocess.CalledProcessError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda path: compare(old, new, path, renames, Path(scratch)), paths)
        total = 0
        for path, differences in zip(paths, found, strict=True):
            total += len(differences)
            print(f"{path}: {len(differences)} differences")
            print(*differences[:MOST_SHOWN], sep="\n", end="\n" if differences else "")
    print(f"{len(paths)} experiments, {total} differences")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
