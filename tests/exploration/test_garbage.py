"""Python searches for circles behind each run of a batch, and at no other time."""

from __future__ import annotations

import gc
import weakref

import pytest

from adpkv.exploration.garbage import OLD, OLD_EVERY, collected_apart


class _Job:
    """Refers to itself, as the objects of a job refer to each other."""

    def __init__(self) -> None:
        self.itself = self


def test_a_job_goes_when_it_is_asked_for_and_no_earlier() -> None:
    assert gc.isenabled()
    with collected_apart() as collect:
        left = weakref.ref(_Job())
        for _ in range(10 * gc.get_threshold()[0]):
            _ = [left]
        assert not gc.isenabled()
        assert left() is not None
        collect()
        assert left() is None
    assert gc.isenabled()


def test_what_outlived_a_search_goes_with_its_batch_and_who_has_switched_it_off_keeps_it_off() -> (
    None
):
    gc.disable()
    try:
        with collected_apart() as collect:
            job = _Job()
            collect()
            left = weakref.ref(job)
            del job
            collect()
            assert left() is not None
        assert left() is None
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_all_is_looked_at_after_so_many_batches_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the batches' own numbers are."""
    looked: list[int] = []
    monkeypatch.setattr(gc, "collect", looked.append)
    for _ in range(2 * OLD_EVERY):
        with collected_apart():
            pass
    assert looked.count(OLD) == 2


def test_who_is_interrupted_in_the_last_search_has_it_on_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(generation: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(gc, "collect", interrupted)
    with pytest.raises(KeyboardInterrupt), collected_apart():
        assert not gc.isenabled()
    assert gc.isenabled()
