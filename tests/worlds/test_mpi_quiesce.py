"""What waits at the end of a job gives up after its bound, and counts only what it saw."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("mpi4py")

from adpkv.errors import StuckError
from adpkv.worlds.mpi import quiesce

S = 1_000_000_000


def _clock(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
    """The clock shows these, one after the other, in seconds."""
    shown: Iterator[float] = iter(seconds)
    monkeypatch.setattr(quiesce, "perf_counter_ns", lambda: int(next(shown) * S))


def test_it_gives_up_after_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    _clock(monkeypatch, 0, 0.5, 1.0)
    with pytest.raises(StuckError, match="the others did not come within 1 s"):
        quiesce.poll_until(lambda: False, "the others", 1)


def test_what_need_not_come_is_given_up_without_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    _clock(monkeypatch, 0, 1.0)
    assert not quiesce.poll_until(lambda: False, "the others", 1, must=False)


def test_a_job_that_was_stopped_as_a_whole_goes_on_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour went by between two looks; of it a second counts, as the longest turn."""
    _clock(monkeypatch, 0, 0.5, 3600.5, 3600.75)
    came = iter([False, False, False, True])
    assert quiesce.poll_until(lambda: next(came), "the others", 2)
