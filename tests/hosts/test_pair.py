"""Two hosts are gone with whoever made them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.hosts.conftest import BOUND_S, LOOK_S
from tests.hosts.pair import processes_of

PAIR = [sys.executable, "-m", "tests.hosts.pair"]


def test_nothing_outlives_a_killed_maker(can_be_made: None, tmp_path: Path) -> None:
    maker = subprocess.Popen(
        [*PAIR, str(tmp_path), "sh", "-c", "echo $$; exec sleep 600"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert maker.stdout is not None
    inside = int(maker.stdout.readline())
    network = os.readlink(f"/proc/{inside}/ns/net")
    assert len(processes_of(network)) == 2, "the one that holds the host, and the command"
    maker.kill()
    maker.communicate()
    until_s = time.monotonic() + BOUND_S
    while left := processes_of(network):
        assert time.monotonic() < until_s, f"left behind: {left}"
        time.sleep(LOOK_S)
