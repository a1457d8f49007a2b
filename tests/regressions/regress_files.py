"""One small regression to write into a folder, and to change in one thing."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

__all__ = ["FILES", "POLICY", "data", "write"]

FILES = Path(__file__).parents[2] / "configs" / "regressions"

POLICY = {"responses": "owner"}

ALONE: dict[str, Any] = {
    "error": "mismatch",
    "places": [
        {"ranks": [2], "kind": "tp_gather", "site": "respond"},
        {"ranks": [1], "kind": "tp_allgather", "site": "sync"},
    ],
}
"""R1 of two completes its request before R0 does."""

SMALL: dict[str, Any] = {
    "name": "small",
    "topology": {"context": {"ranks": 1}, "generation": {"ranks": 2}},
    "kv_cache": {"block_tokens": 16, "blocks": 64},
    "model": {"step_base": "1ms"},
    "workload": {
        "kind": "script",
        "requests": [
            {"at": "0s", "prompt_tokens": 16, "output_tokens": 40},
            {"at": "0s", "prompt_tokens": 16, "output_tokens": 4},
        ],
    },
    "policy": POLICY,
    "regression": {
        "id": "1",
        "title": "one alone",
        "references": ["#7"],
        "before": {"virtual": ALONE},
    },
}


def data(**sections: Any) -> dict[str, Any]:
    """A regression with some top-level keys replaced; `regression` is merged."""
    found = copy.deepcopy(SMALL)
    found["regression"] |= sections.pop("regression", {})
    return found | sections


def write(folder: Path, name: str = "small", **sections: Any) -> Path:
    """The file of it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(data(**sections), sort_keys=False))
    return path
