"""What settings of UCX are worth where host memory moves over TCP: `python -m
tests.speed.ucx_settings [ROUNDS]`.

Two processes, UCXX without adpkv. A way is UCX's settings, how large a message is, and how much of
it may be on its way: everything, or a window as the transport has one, with a limited time of
posting between two steps. Of each: the rate, and how long a turn of the sender took.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from multiprocessing.connection import Connection
from statistics import median, quantiles
from typing import Any, Final, NamedTuple

from adpkv.transport.ucx_library import library

KIB, MIB = 1 << 10, 1 << 20
ALL: Final = 1 << 62
HEADERS: Final = 4 * KIB


class Way(NamedTuple):
    """How bytes are moved. `part` 0: UCXX's own settings."""

    message: int
    part: int = 0
    at_once: int = 0
    window: int = ALL
    post_us: float = 1e9

    def settings(self) -> dict[str, str]:
        if not self.part:
            return {}
        return {
            "RNDV_THRESH": str((self.at_once or self.message) + 1),
            "PROTOS": "^egr/multi/bcopy,egr/multi/zcopy",
            "TCP_RX_SEG_SIZE": str(self.part + HEADERS),
        }

    def __str__(self) -> str:
        window = "all" if self.window == ALL else f"{self.window // KIB}K, {self.post_us:g} us"
        parts = f"parts of {self.part // KIB}K" if self.part else "as it comes"
        return f"messages of {self.message // KIB:5}K, {parts:15}, on their way {window}"


WAYS: Final = (
    *(Way(message) for message in (64 * KIB, 512 * KIB, MIB, 4 * MIB)),
    Way(64 * KIB, 64 * KIB),
    *(Way(64 * KIB, part * KIB) for part in (256, 512, 1024, 2048, 4096)),
    *(Way(512 * KIB, part * KIB) for part in (512, 1024, 2048, 4096)),
    *(Way(MIB, part * KIB) for part in (1024, 2048, 4096)),
    *(Way(size, 4 * MIB) for size in (2 * MIB, 4 * MIB)),
    *(Way(64 * KIB, 2 * MIB, 0, window * KIB, 400) for window in (512, 1024, 2048)),
    *(Way(256 * KIB, 2 * MIB, 0, window * KIB, 400) for window in (512, 1024, 2048)),
    *(Way(512 * KIB, 2 * MIB, 0, window * KIB, 400) for window in (512, 1024, 2048)),
    Way(512 * KIB, 2 * MIB, 0, MIB, 100),
    Way(512 * KIB, 4 * MIB, 0, MIB, 400),
    Way(MIB, 2 * MIB, 0, MIB, 400),
    Way(512 * KIB, 0, 0, 2 * MIB, 100),
)
TOTAL: Final = 128 * MIB


class End:
    """One process's end."""

    def __init__(self, way: Way, connection: Connection, memory: memoryview) -> None:
        ucx = self._ucx = library()
        self._way, self._memory = way, memory
        self._context = ucx.context(way.settings(), (ucx.tag_feature,))
        self.worker = ucx.worker(self._context)
        connection.send(bytes(self.worker.address))
        there = ucx.address.create_from_buffer(connection.recv())
        self.endpoint = self.worker.create_endpoint_from_worker_address(there, True)

    def messages(self, number: int) -> list[tuple[Any, Any]]:
        """Those of one transfer: every second range of the memory."""
        ucx, size = self._ucx, self._way.message
        return [
            (ucx.array(self._memory[2 * i * size : (2 * i + 1) * size]), ucx.tag(number << 32 | i))
            for i in range(TOTAL // size)
        ]


def received(end: End, connection: Connection, number: int) -> None:
    open_ = [end.endpoint.tag_recv(*message) for message in end.messages(number)]
    connection.send(None)
    connection.recv()
    while open_:
        end.worker.progress_once()
        if open_[0].completed:
            open_ = [request for request in open_ if not request.completed]
    connection.send(None)


def sent(end: End, connection: Connection, way: Way, number: int) -> tuple[float, list[float]]:
    """Seconds until the receiver has it, and of each turn."""
    messages = end.messages(number)
    connection.recv()
    connection.send(None)
    open_: list[Any] = []
    turns, at, began = [], 0, time.perf_counter()
    while at < len(messages) or open_:
        turn = time.perf_counter()
        end.worker.progress_once()
        if open_ and open_[0].completed:
            open_ = [request for request in open_ if not request.completed]
        until = time.perf_counter() + way.post_us / 1e6
        while at < len(messages) and len(open_) * way.message < way.window:
            open_.append(end.endpoint.tag_send(*messages[at]))
            at += 1
            if time.perf_counter() >= until:
                break
        turns.append(time.perf_counter() - turn)
    connection.recv()
    return time.perf_counter() - began, turns


def side(rank: int, connection: Connection, rounds: int) -> None:
    memory = memoryview(bytearray(2 * TOTAL))
    for way in WAYS:
        end = End(way, connection, memory)
        took, turns = [], []
        for number in range(rounds + 1):
            if rank:
                received(end, connection, number)
                continue
            whole, each = sent(end, connection, way, number)
            if number:
                took.append(whole)
                turns += [one for one in each if one > 2e-5]
        if not rank:
            p99 = quantiles(turns, n=100)[-1] if len(turns) > 1 else turns[0]
            rate, most = TOTAL / median(took) / 1e9, max(turns) * 1e3
            print(
                f"{way}: {rate:.2f} GB/s (slowest {TOTAL / max(took) / 1e9:.2f}); turns of more"
                f" than 20 us: p99 {p99 * 1e3:.2f} ms, most {most:.2f} ms",
                flush=True,
            )
        end.endpoint.close_blocking()


def main(rounds: str = "5") -> None:
    multiprocessing.set_start_method("spawn")
    ours, theirs = multiprocessing.Pipe()
    other = multiprocessing.Process(target=side, args=(1, theirs, int(rounds)))
    other.start()
    side(0, ours, int(rounds))
    other.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
