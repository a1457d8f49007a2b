"""Transport nixl between real processes."""

from __future__ import annotations

import pytest

from adpkv.testing.transport import BODIES
from tests.mpi.nixl_here import needs_nixl

pytestmark = needs_nixl


@pytest.mark.parametrize(("ranks", "argv"), [(2, ()), (4, ("odd",)), (2, ("faulty",))])
def test_transport_nixl_conforms(program, ranks: int, argv: tuple[str, ...]) -> None:
    """By itself; in blocks of an odd size beside idle ranks; with the fault seam around it."""
    found = program("transport", ranks, "nixl", *argv)
    assert found.code == 0, found.err
    passed = [line.split()[1] for line in found.out.splitlines() if line.startswith("passed")]
    assert passed == list(BODIES)
