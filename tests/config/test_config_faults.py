"""The table of the kinds of faults against the models: nothing is in one and not in the other."""

from __future__ import annotations

from typing import get_args

import pytest

from adpkv.config.fault_kinds import KINDS, phases
from adpkv.config.faults import FaultConfig


def choices(key: str) -> set[str]:
    """What the model takes for a key."""
    annotation = FaultConfig.model_fields[key].annotation
    literals = [part for part in get_args(annotation) if get_args(part)] or [annotation]
    return {name for literal in literals for name in get_args(literal)}


def test_every_kind_has_a_line_and_no_other() -> None:
    assert set(KINDS) == choices("kind")


def test_every_phase_is_some_kinds() -> None:
    assert {phase for kind in KINDS.values() for phase in kind.phases} == choices("phase")


@pytest.mark.parametrize("kind", KINDS)
def test_what_null_means_may_also_be_said(kind: str) -> None:
    line = KINDS[kind]
    if line.phases:
        assert set(line.default) <= set(line.phases)
    assert phases(FaultConfig.model_construct(kind=kind, phase=None)) == line.default
    assert line.default
