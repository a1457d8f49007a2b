"""Our workloads, by the bodies that every workload must pass; and bodies that are shown to fire."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import adpkv
from adpkv.ports import NEVER, Arrival, Workload
from adpkv.testing import WORKLOAD, check_workload
from adpkv.workload import build

SESSIONS = Path(__file__).parent.parent / "traces" / "samples" / "burstgpt-2.csv"

KINDS: dict[str, dict[str, Any]] = {
    "poisson": {},
    "closed loop": {
        "workload": {
            "kind": "closed_loop",
            "users": 7,
            "think_time": "30ms",
            "requests": 60,
            "prompt_tokens": {"min": 5, "max": 500},
            "output_tokens": {"min": 1, "max": 9},
        }
    },
    "trace": {"workload": {"kind": "trace", "path": "sample"}},
    "sessions": {"workload": {"kind": "trace", "path": str(SESSIONS), "think_time": "9ms"}},
    "script": {
        "workload": {
            "kind": "script",
            "requests": [
                {"at": "0s", "prompt_tokens": 40, "output_tokens": 4, "times": 9, "every": "7ms"},
                {"at": "10ms", "prompt_tokens": 9, "output_tokens": 1, "wanted": 1},
            ],
        }
    },
    "short outputs": {
        "workload": {
            "kind": "poisson",
            "rate": 50,
            "requests": 60,
            "prompt_tokens": {"min": 5, "max": 500},
            "output_tokens": {"min": 0, "max": 20},
            "stop": {"probability": 0.2},
        }
    },
}


class Rig:
    def __init__(self, kind: str) -> None:
        self._experiment = adpkv.load("quickstart", set=KINDS[kind])
        self.block_tokens = self._experiment.kv_cache.block_tokens

    def made(self) -> Workload:
        return build(self._experiment)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", WORKLOAD)
def test_a_workload_conforms(kind: str, body: str) -> None:
    WORKLOAD[body](Rig(kind))


class Three:
    """Three requests, 1 ms apart."""

    total = 3

    def __init__(self) -> None:
        self._taken = 0

    def due_ns(self) -> int:
        return self._taken * 1_000_000 if self._taken < 3 else NEVER

    def take(self) -> Arrival:
        self._taken += 1
        return Arrival((self._taken - 1) * 1_000_000, 32, 4)

    def ended(self, now_ns: int, number: int) -> None: ...


class Fewer(Three):
    total = 4


class More(Three):
    total = 2


class Backwards(Three):
    def due_ns(self) -> int:
        return super().due_ns() if self._taken == 3 else (3 - self._taken) * 1_000_000


class Late(Three):
    def take(self) -> Arrival:
        return Arrival(5, 32, 4) if super().take() else Arrival(0, 1, 1)


class Empty(Three):
    def take(self) -> Arrival:
        return Arrival(super().take().at_ns, 0, 4)


class Hashes(Three):
    def take(self) -> Arrival:
        return Arrival(super().take().at_ns, 32, 4, (1, 2, 3))


class Forgetful(Three):
    made = 0

    def __init__(self) -> None:
        super().__init__()
        Forgetful.made += 1

    def take(self) -> Arrival:
        return Arrival(super().take().at_ns, 32, self.made)


class Counting(Three):
    asked = 0

    def due_ns(self) -> int:
        self.asked += 1
        return super().due_ns() + (self.asked if self._taken == 1 else 0)


class Hasty(Three):
    takes = 0

    def due_ns(self) -> int:
        due_ns = super().due_ns()
        return due_ns if due_ns == NEVER else due_ns + Hasty.takes

    def take(self) -> Arrival:
        Hasty.takes += 1
        return super().take()


def rig(made: Callable[[], Workload]) -> Any:
    return type("Made", (), {"block_tokens": 16, "made": staticmethod(made)})


@pytest.mark.parametrize(
    ("broken", "body"),
    [
        (Fewer, "there_are_as_many"),
        (More, "there_are_as_many"),
        (Backwards, "time_does_not_go_back"),
        (Late, "time_does_not_go_back"),
        (Empty, "requests_can_be_served"),
        (Hashes, "requests_can_be_served"),
        (Forgetful, "the_same"),
        (Counting, "asking_changes_nothing"),
        (Hasty, "only_take_and_ended"),
    ],
)
def test_a_broken_one_is_named(broken: type[Three], body: str) -> None:
    check_workload(rig(Three))
    with pytest.raises(AssertionError, match=r"the workload breaks '\w*"):
        check_workload(rig(broken))
    failing = [name for name in WORKLOAD if fails(name, broken)]
    assert any(body in name for name in failing)


def fails(name: str, broken: type[Three]) -> bool:
    try:
        WORKLOAD[name](rig(broken))
    except AssertionError:
        return True
    return False
