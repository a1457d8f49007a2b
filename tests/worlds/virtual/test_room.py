"""What cannot fit into memory is refused beforehand, with the figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adpkv.config import Experiment, parse
from adpkv.errors import UsageError
from adpkv.workload import build
from adpkv.worlds.virtual.room import available_bytes, check_room
from adpkv.worlds.virtual.run import simulate

MOST = 2**31 - 1
LENGTHS = {"prompt_tokens": {"min": 9, "max": 9}, "output_tokens": {"min": 4, "max": 4}}
TIMES = {"at": "0s", "prompt_tokens": 9, "output_tokens": 4, "times": MOST}
HUGE: list[dict[str, Any]] = [
    {"kind": "script", "requests": [TIMES]},
    {"kind": "poisson", "rate": 1000, "requests": MOST, **LENGTHS},
    {"kind": "closed_loop", "users": MOST, "requests": MOST, **LENGTHS},
]


def experiment(workload: dict[str, Any], ranks: int = 1) -> Experiment:
    topology = {"context": {"ranks": ranks}, "generation": {"ranks": ranks}}
    return parse({"name": "huge", "topology": topology, "workload": workload}, "test")


@pytest.mark.parametrize("workload", HUGE, ids=lambda w: w["kind"])
def test_two_thousand_million_requests(workload: dict[str, Any], tmp_path: Path) -> None:
    asked = experiment(workload)
    assert build(asked).total == MOST, "made as they are taken: this takes no memory"
    with pytest.raises(UsageError, match="for the samples of 2,147,483,647 requests"):
        check_room(asked, 10**11)
    if (available_bytes() or 0) < MOST * 120:
        with pytest.raises(UsageError, match=r"takes at least .* GB of memory"):
            simulate(asked, out=tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_what_fits_is_not_refused() -> None:
    small = HUGE[1] | {"requests": 200}
    check_room(experiment(small, 8192), 300_000_000)
    with pytest.raises(UsageError, match=r"at least 0\.2 GB .*0\.2 GB for 16,384 ranks"):
        check_room(experiment(small, 8192), 200_000_000)


def test_instants_of_faults_are_drawn_beforehand_and_count() -> None:
    restart = {"kind": "restart", "before": "1h", "duration": "1ms", "count": 1000}
    data = experiment(HUGE[1] | {"requests": 1}, 512).model_dump(by_alias=True)
    asked = parse(data | {"faults": [restart]}, "test")
    with pytest.raises(UsageError, match=r"0\.4 GB for the instants of faults"):
        check_room(asked, 300_000_000)
    check_room(parse(data | {"faults": [restart | {"ranks": [3]}]}, "test"), 300_000_000)


def test_the_least_of_machine_and_container_counts(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable:    7000 kB\n")
    assert available_bytes(meminfo, tmp_path) == 7000 * 1024
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert available_bytes(meminfo, tmp_path) == 4_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes(meminfo, tmp_path) == 7000 * 1024
    assert available_bytes(tmp_path / "none", tmp_path) is None
