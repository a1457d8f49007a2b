"""A slow and lossy link between two network namespaces: every packet goes through this process.

    python -m tests.hosts.link PID PID DEVICE DELAY_MS JITTER_MS LOSS

Each side gets a device of that name (`tun`); what one sends arrives at the other DELAY_MS later,
more or less, maybe after what was sent behind it, or with probability LOSS never. `tc netem` does
the same, in kernels that have it; this takes /dev/net/tun only. It ends with its standard input.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time
from contextlib import suppress
from typing import Final

TUN: Final = "/dev/net/tun"
TUNSETIFF: Final = 0x400454CA
IFF_TUN: Final = 0x0001
IFF_NO_PI: Final = 0x1000
PACKET_BYTES: Final = 65536
MOST_WAITING: Final = 10_000
"""Packets under way; what comes on top is lost, as in any queue."""


def device(pid: int, name: str) -> int:
    """Make a device in the network of that process; its packets come from and go to this file."""
    with open("/proc/self/ns/net") as own, open(f"/proc/{pid}/ns/net") as network:
        _enter(network.fileno())
        tun = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
        _enter(own.fileno())  # this process belongs to neither host
    return tun


def _enter(network: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(network, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def carry(sides: list[int], delay_s: float, jitter_s: float, rank_failure: float) -> None:
    """Until standard input ends."""
    draws, number = random.Random(1), 0
    waiting: list[tuple[float, int, int, bytes]] = []
    while True:
        now_s = time.monotonic()
        while waiting and waiting[0][0] <= now_s:
            _, _, side, packet = heapq.heappop(waiting)
            with suppress(OSError):  # the device is down, or full: lost
                os.write(side, packet)
        patience_s = waiting[0][0] - now_s if waiting else None
        ready, _, _ = select.select([*sides, 0], [], [], patience_s)
        if 0 in ready:
            return
        for side in ready:
            packet = os.read(side, PACKET_BYTES)
            if draws.random() >= rank_failure and len(waiting) < MOST_WAITING:
                due_s = time.monotonic() + delay_s + draws.uniform(-jitter_s, jitter_s)
                number += 1
                heapq.heappush(waiting, (due_s, number, sides[sides[0] == side], packet))


def main() -> int:
    first, second, name, delay_ms, jitter_ms, rank_failure = sys.argv[1:]
    sides = [device(int(pid), name) for pid in (first, second)]
    print("joined", flush=True)
    carry(sides, float(delay_ms) / 1e3, float(jitter_ms) / 1e3, float(rank_failure))
    return 0


if __name__ == "__main__":
    sys.exit(main())
