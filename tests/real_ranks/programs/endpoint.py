"""Messages over one communicator, then over another of fewer ranks: none lost, and none twice."""

from __future__ import annotations

import sys
import time

from mpi4py import MPI

from adpkv.random_draws import uniform
from adpkv.worlds.mpi.communicators import RankMap
from adpkv.worlds.mpi.endpoint import ACKNOWLEDGE_EVERY, Endpoint

MESSAGES = 500
LOOK_S = 0.02
PATIENCE_S = 30


def nothing() -> None:
    """No error of MPI is planted here."""


def found_at_once(world: MPI.Intracomm, rounds: int = 10) -> int:
    """How often the first look finds a message that came while its receiver called no MPI."""
    end, found = Endpoint(world.Dup()), 0
    for _ in range(rounds):
        world.Barrier()
        if world.rank == 0:
            time.sleep(LOOK_S / 4)  # a barrier that is not over takes in what comes
            for other in range(1, world.size):
                end.send(other, b"message")
            continue
        time.sleep(2 * LOOK_S)
        until_s, looks = time.monotonic() + PATIENCE_S, 1
        while end.take() is None:
            assert time.monotonic() < until_s
            looks += 1
        found += looks == 1
    return found


def main() -> int:
    world = MPI.COMM_WORLD
    # Under load a message may be late; but a look without a second one never found any.
    assert found_at_once(world) or world.rank == 0
    rank, others = world.rank, [r for r in range(world.size) if r != world.rank]
    end = Endpoint(world.Dup(), broke=nothing)
    heard: dict[int, list[int]] = {other: [] for other in range(world.size)}

    def take() -> bool:
        message = end.take()
        if message is not None:
            sender, number = message.split()
            heard[int(sender)].append(int(number))
        return message is not None

    def send(first: int, last: int) -> None:
        for number in range(first, last):
            for other in others:
                end.send(other, b"%d %d" % (rank, number))
            if uniform(1, rank, number) < 0.5:
                take()

    send(0, MESSAGES)
    # As if the last rank had failed: the others move, each with messages that it has not taken.
    taken = end.stop()
    send(MESSAGES, MESSAGES + 10)
    left = world.Split(0 if rank < world.size - 1 else MPI.UNDEFINED, rank)
    if left == MPI.COMM_NULL:
        world.Barrier()
        return 0
    told = left.allgather(taken)
    rank_map = RankMap(range(left.size))
    end.move(left, rank_map, nothing, {r: counts.get(rank, 0) for r, counts in enumerate(told)})
    send(MESSAGES + 10, 2 * MESSAGES)
    living, until_s = others[:-1], time.monotonic() + PATIENCE_S
    while any(len(heard[other]) < 2 * MESSAGES for other in living):
        assert time.monotonic() < until_s, {r: len(numbers) for r, numbers in heard.items()}
        take()
    for other in living:
        assert heard[other] == list(range(2 * MESSAGES))
    assert heard[world.size - 1] == list(range(len(heard[world.size - 1])))
    left.Barrier()
    # What was acknowledged is heard of as one goes on sending, whenever MPI brings it.
    while (kept := max(map(len, end._kept.values()))) > 3 * ACKNOWLEDGE_EVERY:
        assert time.monotonic() < until_s, f"{kept} messages are kept, most of them taken long ago"
        time.sleep(LOOK_S)
        for other in living:
            end.send(other, b"%d 0" % rank)
    world.Barrier()
    if rank == 0:
        print("fine", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
