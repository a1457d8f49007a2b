"""Ranks of this host that cannot fit into it are refused before one is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from adpkv.config import load
from adpkv.config.shipped import find
from adpkv.errors import UsageError
from adpkv.worlds.mpi.memory_check import check_host


def test_pools_that_the_host_does_not_have() -> None:
    asked = load(find(Path("quickstart")).path)
    check_host(asked, {}, 10**9)
    words = r"508 MB of memory \(240 MB for 8 processes, 268 MB for 512 KV blocks on each\)"
    with pytest.raises(UsageError, match=words):
        check_host(asked, {}, 500_000_000)
    check_host(asked, {"SLURM_JOB_ID": "7"}, 500_000_000)
