"""The smallest experiment, for tests that change one thing in it."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from adpkv.config import load
from adpkv.errors import ConfigError

POISSON: dict[str, Any] = {
    "kind": "poisson",
    "rate": 5,
    "requests": 10,
    "prompt_tokens": {"min": 10, "max": 100},
    "output_tokens": {"min": 1, "max": 10},
}
MINIMAL: dict[str, Any] = {
    "name": "minimal",
    "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
    "workload": POISSON,
}

Loader = Callable[..., Any]


def minimal(**sections: Any) -> dict[str, Any]:
    """A copy of the smallest experiment with some top-level keys replaced."""
    return copy.deepcopy(MINIMAL) | sections


def problems_of(folder: Path, text: str | bytes, *overrides: str) -> tuple[str, ...]:
    """What `load` says about a file with this text; the file's path is shown as FILE."""
    path = folder / "experiment.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        load(path, overrides)
    return tuple(line.replace(str(path), "FILE") for line in caught.value.problems)


def problems_in(folder: Path, data: dict[str, Any], *overrides: str) -> tuple[str, ...]:
    """What `load` says about these values, without line numbers."""
    told = problems_of(folder, yaml.safe_dump(data, sort_keys=False), *overrides)
    return tuple(without_line(line) for line in told)


def without_line(problem: str) -> str:
    """A problem without its `, line N` or `(line N)`."""
    head, _, tail = problem.rpartition("line ")
    if not tail.rstrip(")").isdecimal():
        return problem
    return head.removesuffix(" (") if head.endswith("(") else head.removesuffix(", ") + ")"
