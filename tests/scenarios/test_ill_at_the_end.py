"""Ill health and the exit code: 75 asks for a restart, which is of use to who was cut off alone."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from adpkv.config import parse
from adpkv.worlds.virtual.run import Simulation, simulate
from tests.scenarios.story import setting

LATER = {"at": "4s", "prompt_tokens": 64, "output_tokens": 4}


def experiment(*more: dict[str, Any], drain: str = "10s") -> Any:
    """The second request's transfer stands still for good: its client is answered after 200 ms, and
    both sides are ill from 0.5 s on, for long enough to stop after 1 s."""
    requests = [{"at": "0s", "prompt_tokens": 64, "output_tokens": 4, "times": 2, "every": "1s"}]
    sections: dict[str, Any] = {
        "transceiver": {
            "transfer_timeout": "200ms",
            "progress_deadline": "500ms",
            "shutdown_grace": "500ms",
        },
        "executor": {"drain_timeout": drain},
        "workload": {"kind": "script", "requests": [*requests, *more]},
        "faults": [{"kind": "stall", "ranks": [0], "requests": [1]}],
    }
    return parse(setting("ill", 1, 1) | sections, "ill")


def test_ill_with_requests_to_come_asks_for_a_restart(tmp_path: Path) -> None:
    result = simulate(experiment(LATER), out=tmp_path / "out")
    assert result.exit_code == 75
    assert result.summary["requests"]["submitted"] == 2  # type: ignore[index]


@pytest.mark.parametrize("drain", ["100ms", "10s"])
def test_ill_when_all_is_answered_asks_for_nothing(tmp_path: Path, drain: str) -> None:
    result = simulate(experiment(drain=drain), out=tmp_path / "out")
    assert result.exit_code == 0, "nobody is left whom a restart could serve"
    health = result.summary["health"]
    # What is in doubt is drained for 10 s, in which it makes both sides ill, and that is told.
    ill = drain == "10s"
    assert bool(health["reasons"]) == bool(health["unhealthy_intervals"]) == ill  # type: ignore[index]
    assert result.summary["transfers"]["quarantined_now"] == 2  # type: ignore[index]


def test_ill_while_a_signal_is_drained_leaves_its_code(tmp_path: Path) -> None:
    class Asked(Simulation):
        """Gets SIGTERM when the transfer has just been given up."""

        def run(self, watch: Any = None, every: int = 1) -> Any:
            queue = self.world.queue

            def look() -> None:
                if queue.now >= 1_300_000_000 and not self.stop.code:
                    self.stop.code = 128 + signal.SIGTERM
                    self.world.interrupt()

            return super().run(look)  # after each event

    result = simulate(experiment(LATER), out=tmp_path / "out", kind=Asked)
    assert result.exit_code == 143
    assert result.summary["health"]["reasons"]  # type: ignore[index]
