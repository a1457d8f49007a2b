"""The parent of a job that left nobody sums it up from what is on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adpkv.config import load
from adpkv.config.shipped import find
from adpkv.exit_codes import OUTCOMES
from adpkv.output import RunFolder
from adpkv.worlds.mpi.last_summary import sum_up_for_failed_ranks
from adpkv.worlds.virtual.run import simulate


@pytest.mark.parametrize(("code", "said", "lost"), [(5, 5, 4), (137, 5, 4), (143, 143, 0)])
def test_what_is_known_is_told_once(code: int, said: int, lost: int, tmp_path: Path) -> None:
    experiment = load(find(Path("four-ranks")).path)
    whole = simulate(experiment, out=tmp_path / "out").summary
    folder = RunFolder(tmp_path / "out")
    assert sum_up_for_failed_ranks(experiment, folder, code, "why", 1.5) is None, (
        "a rank has done it"
    )
    folder.summary.unlink()
    with folder.requests.open("ab") as file:
        file.write(b'{"request_id": 99, "outc')  # it was killed as it wrote
    told: Any = sum_up_for_failed_ranks(experiment, folder, code, "why", 1.5)
    assert json.loads(folder.summary.read_text()) == json.loads(json.dumps(told))
    assert (told["exit_code"], told["outcome"]) == (said, OUTCOMES[said])
    assert told["broken_off"] == {"why": "why", "unanswered": None}
    assert told["lost"] == list(range(lost))
    expected: Any = whole["requests"]
    assert told["requests"] == {**expected, "never_arrived": None}
    assert set(told) == set(whole), "the same keys as those of any other"
    assert sum_up_for_failed_ranks(experiment, folder, code, "why", 1.5) is None
