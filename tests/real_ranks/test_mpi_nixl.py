"""Transport nixl between real processes."""

from __future__ import annotations

import sys

import pytest

from adpkv.testing.transport import BODIES
from tests.real_ranks.nixl_here import needs_nixl
from tests.transport.nixl_killed import CASES

pytestmark = needs_nixl


@pytest.mark.parametrize(
    ("ranks", "argv"),
    [
        pytest.param(2, (), marks=pytest.mark.campaign),
        pytest.param(4, ("odd", "timed"), marks=pytest.mark.campaign),
        (2, ("faulty",)),
        (2, ("odd", "staged")),
    ],
)
def test_transport_nixl_conforms(program, ranks: int, argv: tuple[str, ...]) -> None:
    """By itself; in blocks of an odd size beside idle ranks, with a bound in time; with the fault
    seam around it; through slots that are smaller than the transfers."""
    found = program("transport", ranks, "nixl", *argv)
    assert found.code == 0, found.err
    passed = [line.split()[1] for line in found.out.splitlines() if line.startswith("passed")]
    assert passed == list(BODIES)


def test_what_a_release_and_what_a_kill_leave_behind(jobs) -> None:
    """A released write goes on landing; under the contract nothing lands after an end. And a peer
    that is killed in the middle. See tests/transport/nixl_killed.py."""
    found = jobs.finish(jobs.start([sys.executable, "-m", "tests.transport.nixl_killed"]), 120)
    assert found.code == 0, found.err
    assert [line.partition(":")[0] for line in found.out.splitlines()] == list(CASES)
