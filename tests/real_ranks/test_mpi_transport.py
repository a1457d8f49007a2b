"""Transport mpi under two real processes, by the bodies that every transport must pass."""

from __future__ import annotations

import pytest

from adpkv.testing.transport import BODIES


@pytest.mark.parametrize(
    ("ranks", "argv"),
    [
        pytest.param(2, (), marks=pytest.mark.campaign),
        (4, ("odd",)),
        (2, ("faulty",)),
        (2, ("odd", "staged")),
    ],
)
def test_transport_mpi_conforms(program, ranks: int, argv: tuple[str, ...]) -> None:
    """By itself; in blocks of an odd size beside idle ranks; with the fault seam around it; through
    slots that are smaller than the transfers."""
    found = program("transport", ranks, "mpi", *argv)
    assert found.code == 0, found.err
    passed = [line.split()[1] for line in found.out.splitlines() if line.startswith("passed")]
    assert passed == list(BODIES)


def test_a_peer_that_takes_nothing_holds_up_nobody_else(program) -> None:
    found = program("wedged", 3)
    assert found.code == 0, found.err
    assert found.out.strip() == "fine"


def test_a_send_in_doubt_is_taken_in_at_the_end(program) -> None:
    """MPI must not be finalized while anything is on its way."""
    found = program("quiesce", 2)
    assert found.code == 0, found.err
    assert found.out.strip() == "fine"
