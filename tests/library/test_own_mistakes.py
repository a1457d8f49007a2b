"""What a caller's own workload and model do wrong is told as theirs: by name, with the line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import adpkv
from adpkv.ports import NEVER, Arrival, Batch


class Spoilt:
    """A burst of four requests of which `spoil` does one thing in another way."""

    def __init__(self, what: str, spoil: Any) -> None:
        self.total, self._taken = 4, 0
        self._what, self._spoil = what, spoil

    def due_ns(self) -> Any:
        if self._what == "due_ns":
            return self._spoil()
        return 1_000 if self._taken < self.total else NEVER

    def take(self) -> Any:
        self._taken += 1
        return self._spoil() if self._what == "take" else Arrival(1_000, 64, 4)

    def ended(self, now_ns: int, number: int) -> None:
        if self._what == "ended":
            self._spoil()


class SpoiltModel:
    """A model whose cost is what `spoil` gives."""

    ticks_per_ns = 1

    def __init__(self, spoil: Any) -> None:
        self._spoil = spoil

    def line(self, batch: Batch) -> Any:
        return self._spoil()

    def run(self, batch: Batch) -> None: ...


def broken() -> None:
    raise ValueError("no idea")


LINE = broken.__code__.co_firstlineno + 1
RAISED = rf"raised ValueError: no idea \(test_own_mistakes.py:{LINE}\)"


def arrival(**changed: Any) -> Any:
    return lambda: Arrival(**{"at_ns": 1_000, "prompt_tokens": 64, "output_tokens": 4, **changed})


@pytest.mark.parametrize(
    ("what", "spoil", "told"),
    [
        ("due_ns", broken, f"due_ns {RAISED}"),
        ("take", broken, f"take {RAISED}"),
        ("ended", broken, f"ended {RAISED}"),
        ("due_ns", lambda: 3e6, "due_ns is 3000000.0, not an integer of 0 or more"),
        ("take", lambda: (1, 2), r"take returned \(1, 2\), which is no Arrival"),
        ("take", arrival(prompt_tokens=0), ".* prompt_tokens is 0, and must be at least 1"),
        ("take", arrival(prompt_tokens="20"), ".* prompt_tokens is '20', not an integer"),
        ("take", arrival(block_hashes=(-1,)), ".* block_hashes are not all integers"),
        ("take", arrival(wanted=-1), ".* wanted is -1, neither None nor"),
        ("take", arrival(client_id=5), ".* client_id is 5, not text"),
    ],
)
def test_of_a_workload(what: str, spoil: Any, told: str) -> None:
    with pytest.raises(adpkv.UsageError, match=f"workload: Spoilt: {told}"):
        adpkv.simulate("quickstart", workload=Spoilt(what, spoil))


def test_integers_of_another_library_are_no_mistake() -> None:
    of_numpy = arrival(prompt_tokens=np.int64(64), block_hashes=(np.int64(5),))
    found = adpkv.simulate("quickstart", workload=Spoilt("take", of_numpy))
    assert [request.prompt_tokens for request in found.requests] == [64] * 4


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (broken, f"line {RAISED}"),
        (lambda: 5, r"line returned 5, not \(base, slope\)"),
        (lambda: (1.5, 0), "the base that line returned is 1.5, not an integer of 0 or more"),
        (lambda: (1, -2), "the slope that line returned is -2, not an integer of 0 or more"),
    ],
)
def test_of_a_model(spoil: Any, told: str) -> None:
    changed = {"workload.requests": 2}
    with pytest.raises(adpkv.UsageError, match=f"model: SpoiltModel: {told}"):
        adpkv.simulate("quickstart", set=changed, model=SpoiltModel(spoil))
