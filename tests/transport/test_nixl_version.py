"""A version of NIXL that does not fit."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from adpkv.errors import UsageError
from adpkv.memory.port import HOST, Region
from adpkv.transport.nixl_agent import Agent


def test_a_library_that_keeps_the_handle_of_blocks_elsewhere_is_refused() -> None:
    agent = object.__new__(Agent)
    vars(agent).update(
        _version="9.9.9",
        _backend="UCX",
        _memory=SimpleNamespace(block_bytes=8),
        _agent=SimpleNamespace(prep_xfer_dlist=lambda *asked: object()),
    )
    with pytest.raises(UsageError, match=r"nixl: version 9\.9\.9 does not fit: .*_handle"):
        agent._describe("NIXL_INIT_AGENT", Region(4096, 80, HOST))
