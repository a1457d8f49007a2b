"""Each duration at its largest, alone: a run is refused, or it ends after a bounded number of
events."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import pytest

from adpkv.config import parse
from adpkv.config.fault_kinds import KINDS
from adpkv.config.schema import json_schema
from adpkv.config.units import DURATION_PATTERN
from adpkv.errors import EndOfTimeError, StuckError, UsageError
from tests.worlds.virtual.running import run

LONGEST: Final = "87600h"
MOST_EVENTS: Final = 10_000

SCRIPT: Final = [{"at": "0s", "prompt_tokens": 256, "output_tokens": 4, "times": 8, "every": "1ms"}]
LENGTHS: Final = {
    "requests": 8,
    "prompt_tokens": {"min": 64, "max": 256},
    "output_tokens": {"min": 2, "max": 8},
}
WORKLOADS: Final[dict[str, Any]] = {
    "script": {"requests": SCRIPT},
    "poisson": {"rate": 10, **LENGTHS},
    "closed_loop": {"users": 2, "think_time": "1ms", **LENGTHS},
}
"""By kind; whoever is not asked about stays as it is here."""


def base(kind: str = "poisson") -> dict[str, Any]:
    return {
        "name": "longest",
        "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
        "workload": {"kind": kind, **WORKLOADS[kind]},
    }


def durations(section: Any, schema: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths of all durations of a section that are no list's."""
    if "$ref" in section:
        section = schema["$defs"][section["$ref"].rpartition("/")[2]]
    found = [path] if section.get("pattern") == DURATION_PATTERN else []
    for one in section.get("anyOf", []):
        found += durations(one, schema, path)
    for key, field in section.get("properties", {}).items():
        found += durations(field, schema, (*path, key))
    return found


SCHEMA: Final = json_schema()
PATHS: Final = durations(SCHEMA, SCHEMA)

WEDGED: Final = [{"kind": "stall", "probability": 0.3}]
"""Transfers that never end of themselves: what drains, and what is ill, waits for long."""

WITHIN: Final[list[tuple[str, dict[str, Any]]]] = [
    ("poisson", {"cancel": {"probability": 1.0, "delay": {"max": LONGEST}}}),
    ("closed_loop", {"think_time": LONGEST}),
    ("script", {"requests": [SCRIPT[0] | {"at": LONGEST}]}),
    ("script", {"requests": [SCRIPT[0] | {"every": LONGEST, "times": 2}]}),
    ("script", {"requests": [SCRIPT[0] | {"cancel": LONGEST}]}),
]


def fault(kind: str, key: str) -> dict[str, Any]:
    """A fault of that kind whose `key` is as long as can be."""
    told = {"kind": kind, "requests": [1, 2]}
    if KINDS[kind].at_an_instant:
        told = {"kind": kind, "ranks": [3], "count": 1}
    needs = KINDS[kind].needs
    if needs:
        told[needs] = "1MiB" if needs == "bandwidth" else "5ms"
    return told | {key: LONGEST}


FAULTS: Final = [
    (kind, key)
    for kind, about in KINDS.items()
    for key in ("duration", "after", "before")
    if key != "duration" or "duration" in (about.needs, *about.takes)
]


def ends(data: dict[str, Any]) -> None:
    """Refused beforehand, or run and over, be it because time is."""
    with suppress(UsageError):
        parse(data, "longest")
        with suppress(EndOfTimeError, StuckError):
            run(data, most_events=MOST_EVENTS)


def test_what_is_tried_is_no_refusal_by_itself() -> None:
    for kind in WORKLOADS:
        assert run(base(kind), most_events=MOST_EVENTS).exit_code == 0


@pytest.mark.parametrize("path", PATHS, ids=".".join)
@pytest.mark.parametrize("faults", [[], WEDGED], ids=["alone", "wedged"])
def test_of_a_section(path: tuple[str, ...], faults: list[dict[str, Any]]) -> None:
    value: Any = LONGEST
    for key in reversed(path[1:]):
        value = {key: value}
    ends(base() | {path[0]: value, "faults": faults})


@pytest.mark.parametrize(("kind", "keys"), WITHIN, ids=str)
def test_of_a_workload(kind: str, keys: dict[str, Any]) -> None:
    data = base(kind)
    ends(data | {"workload": data["workload"] | keys})


@pytest.mark.parametrize(("kind", "key"), FAULTS)
def test_of_a_fault(kind: str, key: str) -> None:
    ends(base() | {"faults": [fault(kind, key)]})
