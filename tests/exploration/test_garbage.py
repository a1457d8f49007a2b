"""Python searches for circles behind each run of a batch, and at no other time."""

from __future__ import annotations

import gc
import weakref

from adpkv.exploration.garbage import collected_apart


class _Job:
    """Refers to itself, as the objects of a job refer to each other."""

    def __init__(self) -> None:
        self.itself = self


def test_a_job_goes_when_it_is_asked_for_and_no_earlier() -> None:
    assert gc.isenabled()
    with collected_apart(1) as collect:
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
        with collected_apart(1) as collect:
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
