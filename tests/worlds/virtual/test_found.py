"""Experiments in which something was found, kept whole so that they outlive the generator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.virtual.running import examine

FOUND = [json.loads(line) for line in Path(__file__).with_name("found.jsonl").open()]


@pytest.mark.parametrize("case", FOUND, ids=lambda case: case["experiment"]["name"])
def test_it_stays_mended(case: dict[str, Any]) -> None:
    assert examine(case["experiment"]) == [], case["found"]
