"""Bad input: experiment files, traces and command lines that went through hands, editors and disks.

A good one is damaged in a few places; what comes of it may be good, and is mostly bad. Where the
damage is text, the file may be no YAML any more; where it is done to the values, it is YAML of
something that we do not take.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import yaml

from adpkv.workload.building import SAMPLE
from tests.fuzz.experiments import experiment
from tests.fuzz.schema import keys

__all__ = [
    "argument",
    "as_argument",
    "damaged_lines",
    "damaged_text",
    "damaged_values",
    "junk",
    "line",
    "trace",
]

ROOT: Final = Path(__file__).parents[2]
SHIPPED: Final = sorted((ROOT / "configs").rglob("*.yaml"))
PLACES: Final = sorted({place for place, _ in keys()})

WORDS: Final = (
    *("null", "~", "true", "no", "0", "-1", "1e400", "-1e-400", ".nan", ".inf", "0x7f", "1_000"),
    *("9" * 25, "9" * 5000, "-" + "9" * 25, "1.5", "5 s", "5S", "-5s", "0s", "1e3ms", "0.1ns"),
    *("10GiB", "10gb", "-1B", "''", '""', "{}", "[]", "[[]]", "{a: b}", "{min: 1, max: 0}"),
    *("!!python/object:os.system x", "!!int x", "!!binary =", "!x y", "*a", "&a 1", "&a [*a]"),
    *("<<: 1", "? x", "- -", "|", ">-", "%", "@", "`", "# c", "---", "...", "\t", "2026-11-28"),
    *("12:30:45", "µ", "\x00", "\x07", "\ud800", "\U0010ffff", "\ufeff", "é" * 300, "\u2028", "="),
    *("..", "/", "/dev/null", "/dev/zero", ".", "-", "--", "sample", "[" * 400, "{a: " * 400),
    *("a" * 9000, "[" * 60 + "]" * 60, "a.b", "0.0", "'", '"', ": ", "\\", "\r", "\r\n", "yes: no"),
)  # fmt: skip
"""What is put where something else was meant."""

VALUES: Final[Sequence[Any]] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, float("inf")),
    *(float("nan"), "", "x", "1s", "-1s", "0.5ns", "9" * 4000, "1e9s", "µ", "64KiB", [], {}),
    *([None], [[]], {"": 1}, {"kind": "x"}, {"kind": None}, {"x": {"y": []}}, {1: 2}, {None: 3}),
    *([0] * 3, [-1], ["x"], [1.5], "sample", "2..5", "5..2", {"min": 2, "max": 1}),
)


def junk(draw: Random) -> str:
    """A word that belongs nowhere, or some bytes."""
    if draw.random() < 0.1:
        return "".join(chr(draw.choice((draw.randrange(256), 0x2028))) for _ in range(9))
    return draw.choice(WORDS)


def _good(draw: Random) -> str:
    if draw.random() < 0.4:
        return draw.choice(SHIPPED).read_text(encoding="utf-8")
    data = experiment(draw.randrange(1 << 40))
    return str(yaml.safe_dump(data, sort_keys=False, default_flow_style=draw.choice((False, None))))


def damaged_text(draw: Random) -> bytes:
    """An experiment's file, damaged as text."""
    lines = _good(draw).splitlines(keepends=True)
    for _ in range(draw.choice((1, 1, 1, 2, 8))):
        draw.choice(_TEXT)(draw, lines)
    raw = "".join(lines).encode("utf-8", "surrogatepass")
    return _damaged_bytes(draw, raw) if draw.random() < 0.15 else raw


def _word(draw: Random, lines: list[str]) -> None:
    """A value, or a key, becomes junk."""
    at = _any(draw, lines)
    words = lines[at].split(" ")
    words[draw.randrange(len(words))] = junk(draw)
    lines[at] = " ".join(words).rstrip("\n") + "\n"


def _indent(draw: Random, lines: list[str]) -> None:
    at = _any(draw, lines)
    lines[at] = draw.choice((" ", "  ", "\t", "- ", "? ")) + lines[at]


def _outdent(draw: Random, lines: list[str]) -> None:
    at = _any(draw, lines)
    lines[at] = lines[at].lstrip()


def _gone(draw: Random, lines: list[str]) -> None:
    del lines[_any(draw, lines)]


def _twice(draw: Random, lines: list[str]) -> None:
    lines.insert(_any(draw, lines), lines[_any(draw, lines)])


def _moved(draw: Random, lines: list[str]) -> None:
    lines.insert(_any(draw, lines), lines.pop(_any(draw, lines)))


def _broken_off(draw: Random, lines: list[str]) -> None:
    at = _any(draw, lines)
    lines[at:] = [lines[at][: draw.randrange(len(lines[at]) + 1)]]


def _between(draw: Random, lines: list[str]) -> None:
    lines.insert(_any(draw, lines), junk(draw) + draw.choice(("\n", "", ": 1\n")))


_TEXT: Final[Sequence[Callable[[Random, list[str]], None]]] = (
    *(_word, _word, _word, _indent, _outdent, _gone, _twice, _moved, _broken_off, _between),
)


def _any(draw: Random, lines: list[str]) -> int:
    if not lines:
        lines.append("\n")
    return draw.randrange(len(lines))


def _damaged_bytes(draw: Random, raw: bytes) -> bytes:
    found = bytearray(raw or b" ")
    for _ in range(draw.choice((1, 3, 40))):
        at = draw.randrange(len(found))
        found[at : at + draw.choice((0, 1, 1, 8))] = bytes([draw.randrange(256)])
    return bytes(found)


def damaged_values(draw: Random) -> bytes:
    """An experiment's file with other values, keys or sections: YAML, but seldom an experiment."""
    data = copy.deepcopy(yaml.safe_load(_good(draw)))
    for _ in range(draw.choice((1, 1, 2, 4))):
        places = list(_places(data))
        if not places:
            break
        holder, key = draw.choice(places)
        way = draw.randrange(5)
        if way == 0:
            del holder[key]
        elif way == 1 and isinstance(holder, dict):
            holder[draw.choice((junk(draw), draw.choice(PLACES).rpartition(".")[2], 7, None))] = (
                holder[key]
            )
        elif way == 2:
            holder[key] = [holder[key]] * draw.choice((1, 2, 30))
        else:
            holder[key] = copy.deepcopy(draw.choice(VALUES))
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=draw.random() < 0.5)
    return str(text).encode("utf-8", "surrogatepass")


def _places(data: Any) -> Any:
    """Everything in it, as (what holds it, its key); nothing of a text or a number."""
    if not isinstance(data, dict | list):
        return
    pairs = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in list(pairs):
        yield data, key
        if isinstance(value, dict | list):
            yield from _places(value)


def damaged_lines(draw: Random, lines: list[bytes], values: Sequence[Any] = VALUES) -> bytes:
    """JSON lines, some of them damaged as text or in their values."""
    lines = list(lines) or [b"\n"]
    for _ in range(draw.choice((1, 1, 2, 6))):
        at = draw.randrange(len(lines))
        way = draw.randrange(6)
        if way == 0:
            lines[at] = _damaged_bytes(draw, lines[at])
        elif way == 1:
            lines[at] = lines[at][: draw.randrange(len(lines[at]) + 1)]
        elif way == 2:
            lines[at] = junk(draw).encode("utf-8", "surrogatepass") + b"\n"
        elif way == 3:
            lines.insert(draw.randrange(len(lines)), lines[at])
        else:
            lines[at] = _other_values(draw, lines[at], values)
    return b"".join(lines)


def _other_values(draw: Random, raw: bytes, values: Sequence[Any]) -> bytes:
    try:
        data = json.loads(raw)
        holder, key = draw.choice(list(_places(data)))
    except (ValueError, IndexError, RecursionError):
        return raw
    if draw.random() < 0.2:
        del holder[key]
    else:
        holder[key] = draw.choice(values)
    return json.dumps(data).encode() + b"\n"


def trace(draw: Random) -> bytes:
    """A trace that somebody has had in his hands."""
    lines = SAMPLE.read_bytes().splitlines(keepends=True)[: draw.choice((1, 5, 30))]
    return damaged_lines(draw, lines)


def argument(draw: Random) -> str:
    """Something for `--set`; now and then what is taken, so that a run begins."""
    if draw.random() < 0.1:
        return draw.choice(("seed=7", "executor.token_budget=64", "observe.events=false"))
    path = draw.choice(PLACES).replace("[]", f".{draw.choice((0, 0, 1, 7, -1, 10**12))}")
    for name in ("script", "poisson", "closed_loop", "trace"):
        path = path.replace(f"({name})", "")
    if draw.random() < 0.3:
        path = draw.choice(
            (junk(draw), path + ".x", path + ".0", "." + path, path + ".", "a." * 99)
        )
    sign = draw.choice(("=", "=", "=", "=", "=", "", "==", ":", " = "))
    return f"{path}{sign}{junk(draw)}"


def line(draw: Random, file: str, run: str) -> list[str]:
    """A whole command line; no command that starts real ranks, or others' commands."""
    good = {
        "validate": [file],
        "simulate": [file, "--quiet", "--out", "out"],
        "story": ["1", "--out", run],
        "inspect": [run],
        "init": ["new"],
        "configs": [],
        "schema": [],
    }
    name = draw.choice(list(good))
    given = good[name]
    words = [file, run, "quickstart", "0", "-1", "99999999999999999999", "--json", "--quiet"]
    words += ["--set", argument(draw), "--out", "out", "--seed", "--from", "--stacks", "--no-jump"]
    words += ["/dev/null/x", junk(draw), junk(draw), "-h", "--", f"--set={argument(draw)}"]
    for _ in range(draw.choice((0, 1, 1, 2, 4))):
        at = draw.randrange(len(given) + 1)
        given[at : at + draw.randrange(2)] = [draw.choice(words)]
    if draw.random() < 0.05:
        name = junk(draw)
    if name == "inspect":  # a small number may be a process of somebody's
        given = ["99999999" if word.isdigit() and len(word) < 8 else word for word in given]
    return [as_argument(word) for word in (name, *given)]


def as_argument(word: str) -> str:
    """The word as a process can be given it: no zero byte, and bytes that are no UTF-8 as Python
    has them."""
    raw = word.encode("utf-8", "surrogatepass").replace(b"\0", b"0")
    return raw.decode("utf-8", "surrogateescape")
