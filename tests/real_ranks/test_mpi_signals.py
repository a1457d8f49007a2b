"""A signal to a real job at any moment, to whoever started it, to mpirun or to a rank: six jobs in
`make real`, three at a time, of the hunter `signals` (`make fuzz FUZZ="signals"` for hundreds)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from signal import SIGHUP, SIGKILL, SIGTERM
from typing import Final

import pytest

from tests.fuzz.signals import Ended, Plan, judged, plan, signalled
from tests.real_ranks.conftest import outlives_or_skip

JOBS: Final = 6
AT_ONCE: Final = 3
FINE: Final = Ended(sent=True, code=143, err="", left=[], said=143, folders=[])


@pytest.mark.campaign
def test_a_signal_at_any_moment_ends_the_job(mpirun: Path, tmp_path: Path) -> None:
    outlives_or_skip()

    def ended(seed: int) -> list[str]:
        folder = tmp_path / str(seed)
        folder.mkdir()
        return judged(plan(seed), signalled(plan(seed), folder))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(ended, range(JOBS)))
    replay = "replay: python -m tests.fuzz --replay signals {}"
    assert {replay.format(seed): wrong for seed, wrong in enumerate(found) if wrong} == {}


def test_what_is_wrong_with_an_end_is_seen() -> None:
    """Each look is shown to see what it is for."""
    asked = Plan("parent", SIGTERM, 1.0)
    assert judged(asked, FINE) == []
    for wrong, word in (
        (replace(FINE, code=None), "no end within"),
        (replace(FINE, code=5, said=5), "exit code 5"),
        (replace(FINE, code=0), "summary.json says 143"),
        (replace(FINE, said=0), "summary.json says 0"),
        (replace(FINE, err="Traceback (most recent call last)"), "a traceback"),
        (replace(FINE, left=[7]), "processes are left: [7]"),
        (replace(FINE, folders=[Path("x")]), "folders are left"),
        (replace(FINE, sent=False), "nothing was sent"),
    ):
        assert any(word in said for said in judged(asked, wrong)), word
    killed = Plan("rank", SIGKILL, 1.0)
    assert judged(killed, replace(FINE, code=5, said=5)) == []
    assert judged(Plan("mpirun", SIGHUP, 1.0), replace(FINE, code=129, said=129)) == []
