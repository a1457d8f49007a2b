"""Transports between real processes of which one is killed, by the bodies that are the same for
every transport."""

from __future__ import annotations

import pytest

from adpkv.testing.transport_killed import BODIES
from tests.real_ranks.conftest import outlives_or_skip
from tests.real_ranks.nixl_here import needs_nixl
from tests.real_ranks.test_mpi_ucx import pytestmark as needs_ucx


@pytest.mark.parametrize(
    ("name", "staged"),
    [
        pytest.param("mpi", ()),
        pytest.param("mpi", ("staged",), marks=pytest.mark.campaign),
        pytest.param("nixl", (), marks=needs_nixl),
        pytest.param("nixl", ("staged",), marks=[needs_nixl, pytest.mark.campaign]),
        pytest.param("ucx", (), marks=needs_ucx),
        pytest.param("ucx", ("staged",), marks=[needs_ucx, pytest.mark.campaign]),
    ],
)
def test_it_conforms_where_a_peer_dies(program, name: str, staged: tuple[str, ...]) -> None:
    """A rank for each body, which is killed in it."""
    outlives_or_skip()
    found = program("killed", 1 + len(BODIES), name, "large", *staged, outlives=True)
    assert found.code == 0, found.err
    assert found.out.split() == [word for body in BODIES for word in ("passed", body)]
