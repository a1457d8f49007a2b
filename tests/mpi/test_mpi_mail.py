"""The mailbox under real processes."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.mpi


@pytest.mark.parametrize("ranks", [1, 4, 8])
@pytest.mark.parametrize("case", ["peers", "long_letters", "desk"])
def test_mail_arrives_whole_and_in_order(program, case: str, ranks: int) -> None:
    found = program("mail", ranks, case)
    assert found.code == 0, found.err
    assert found.out.strip() == "fine"


def test_a_coordinator_that_fails_ends_the_job(program) -> None:
    found = program("mail", 4, "coordinator_fails")
    assert found.code == 70
    assert "the coordinator (beside rank 0) failed: RuntimeError: a planted failure" in found.err
