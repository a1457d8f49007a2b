"""The mailbox under real processes."""

from __future__ import annotations

import pytest

from tests.conformance.mailbox import BODIES

ALONE = pytest.param(1, marks=pytest.mark.campaign)


@pytest.mark.parametrize("ranks", [ALONE, 4, pytest.param(8, marks=pytest.mark.campaign)])
def test_messages_conforms(program, ranks: int) -> None:
    found = program("mailbox", ranks)
    assert found.code == 0, found.err
    passed = [line.split()[1] for line in found.out.splitlines() if line.startswith("passed")]
    assert passed == list(BODIES)


@pytest.mark.parametrize("ranks", [ALONE, 4])
def test_a_coordinator_thread_takes_its_messages_beside_rank_0(program, ranks: int) -> None:
    found = program("messages", ranks, "coordinator")
    assert found.code == 0, found.err
    assert found.out.strip() == "fine"


def test_a_coordinator_that_fails_ends_the_job(program) -> None:
    found = program("messages", 4, "coordinator_fails")
    assert found.code == 70
    assert "the coordinator (beside rank 0) failed: RuntimeError: a planted failure" in found.err


def test_messages_outlast_a_change_of_communicators(program) -> None:
    found = program("endpoint", 4)
    assert found.code == 0, found.err
    assert found.out.strip() == "fine"
