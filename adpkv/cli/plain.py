"""`adpkv simulate` and `adpkv run` as most calls have them, read without Typer.

Typer and what it loads are an eighth of a short simulation, and each rank that `mpirun adpkv run`
starts loads them by itself. So a call is read here if each of its words is one that is known here,
as it stands. All else is Typer's, as it was: helps, errors, completion, `--out=DIR`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from adpkv.cli.ending import end_with
from adpkv.cli.remarks import found_file

__all__ = ["command_of", "plain_call"]

SWITCHES: Final[Mapping[str, Mapping[str, tuple[str, bool]]]] = {
    "simulate": {"--jump": ("jump", True), "--no-jump": ("jump", False)},
    "run": {},
}
"""The commands, and what each has beside `OF_ALL`: switch -> (what it is about, whether it is on).
"""

OF_ALL: Final = {"--quiet": ("quiet", True), "-q": ("quiet", True), "--json": ("as_json", True)}

MOST_DIGITS: Final = 18


def command_of(argv: Sequence[str], environ: Mapping[str, str]) -> Callable[[], None]:
    """What these arguments ask for, to be called; it ends with a SystemExit."""
    call = plain_call(argv, environ)
    if call is None:
        from adpkv.cli.app import main

        return main
    return lambda: end_with(lambda: sys.exit(call()))


def plain_call(argv: Sequence[str], environ: Mapping[str, str]) -> Callable[[], int] | None:
    """What these arguments call, as a function of no arguments that returns the exit code; None if
    Typer has to read them."""
    if not argv or argv[0] not in SWITCHES or any(name.endswith("_COMPLETE") for name in environ):
        return None
    read = _read(argv[0], argv[1:])
    return None if read is None else lambda: _call(argv[0], read)


def _read(command: str, words: Sequence[str]) -> dict[str, Any] | None:
    """What the words say, by name; None if one of them is not known, or has another meaning."""
    found: dict[str, Any] = {"overrides": []}
    switches = {**OF_ALL, **SWITCHES[command]}
    rest = iter(words)
    for word in rest:
        if word in switches:
            name, value = switches[word]
            found[name] = value
            continue
        given = next(rest, "") if word.startswith("-") else word
        if not given or given.startswith("-"):
            return None
        if word == "--set":
            found["overrides"].append(given)
        elif word is given and "file" not in found:
            found["file"] = Path(given)
        elif word == "--out" and "out" not in found:
            found["out"] = Path(given)
        elif word == "--seed" and command == "simulate" and "seed" not in found and _counts(given):
            found["seed"] = int(given)
        else:
            return None
    return found if "file" in found else None


def _counts(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def _call(command: str, said: dict[str, Any]) -> int:
    said["file"] = found_file(said["file"], quiet=said.get("quiet", False))
    if command == "simulate":
        from adpkv.cli.simulating import SimulateCall, simulating

        return simulating(SimulateCall(**said))
    from adpkv.cli.rank import RankCall
    from adpkv.cli.running import running

    for name in ("file", "out"):
        if name in said:
            said[name] = str(said[name])
    return running(RankCall(**said))
