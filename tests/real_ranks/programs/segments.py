"""Ranks of one host open exchanges over shared memory where something is in the way, and use them.

python -m tests.real_ranks.programs.segments CASE... | FOLDER

With FOLDER, which may be another job's too, it is where the memory is.
Every rank checks what it gets; rank 0 says which cases have passed.
"""

from __future__ import annotations

import os
import resource
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from mpi4py import MPI

from adpkv.flight_recorder.job_directory import slot_path
from adpkv.flight_recorder.slot_layout import HEAD, HEAD_BYTES, TAIL_BYTES, paired
from adpkv.worlds.mpi.agreement import AgreedError
from adpkv.worlds.mpi.call_site import CallSite
from adpkv.worlds.mpi.driver import guarded
from adpkv.worlds.mpi.exchange import opening
from adpkv.worlds.mpi.exchange.opening import ExchangeMaker
from adpkv.worlds.mpi.oversubscription import cores, local_ranks
from adpkv.worlds.mpi.slots import NEW
from tests.real_ranks.programs.halfway import halfway
from tests.real_ranks.programs.private import private_folder

WORLD = MPI.COMM_WORLD
RANK, SIZE = WORLD.rank, WORLD.size
STOPPED_S: Final = 0.3
BOUND_S: Final = 20

# A process that called MPI_Init must not fork and go on, so this is executed afresh.
STOP: Final = 'kill -STOP "$1"; sleep "$2"; kill -CONT "$1"'


def maker(collectives: Any, folder: Path) -> ExchangeMaker:
    return ExchangeMaker(collectives, folder, local_ranks(os.environ) > cores())


def opened(group: int = 0, epoch: int = 0) -> Any:
    """An exchange over shared memory, in a folder of its own, which is gone."""
    with private_folder() as folder:
        return maker("shared_memory", folder).open(WORLD, group, epoch)


def meet(exchange: Any, rounds: int = 50) -> None:
    """Everybody says something else each time, sometimes at length."""
    for at in range(rounds):
        said = [bytes([at % 251, r]) * (TAIL_BYTES // 2) for r in range(SIZE)]
        site = CallSite("kind", "site", SIZE, RANK)
        for again in (False, True):
            site.say(None, said[RANK])
            same = exchange.slots(site, said[RANK], paired(0, 0), at, 5, paired(1, 2), 3)
            assert same is again
            if not again:
                heads = site.heads
                site.hear({}, bytes)
        for rank, tail in enumerate(said):
            new, length, *place, _ = HEAD.unpack_from(heads, rank * HEAD_BYTES)
            assert (new, length, place) == (NEW, TAIL_BYTES, [0, 0, at, 5, 1, 2, 3])
            assert exchange.tail(rank, length) == tail
        if at % 10 == 0:
            lengths = [0 if r == at % SIZE else 70_000 * r + at for r in range(SIZE)]
            payloads = exchange.payloads(bytes([RANK]) * lengths[RANK], lengths)
            assert payloads == b"".join(bytes([r]) * n for r, n in enumerate(lengths))


def refused(folder: Path, why: str) -> None:
    """`auto` is MPI on all ranks; who insists on shared memory hears the same on all."""
    exchange = maker("auto", folder).open(WORLD, 0, 0)
    assert exchange.name == "mpi", "this rank has shared memory"
    meet(exchange, 11)
    with pytest.raises(AgreedError, match=why) as heard:
        maker("shared_memory", folder).open(WORLD, 0, 0)
    assert len(set(WORLD.allgather(str(heard.value)))) == 1
    # Who has begun goes on.
    assert maker("shared_memory", folder).open(WORLD, 0, 1).name == "mpi"


def fine() -> None:
    """Two groups at once."""
    one, other = opened(), opened(1)
    for _ in range(10):
        meet(one)
        meet(other, 7)
    for exchange in (one, other):
        assert exchange.name == "shared_memory"
        exchange.close()


def beside(folder: Path) -> None:
    """Another job has the same folder, group and epoch."""
    exchange = maker("shared_memory", folder).open(WORLD, 0, 0)
    for _ in range(10):
        meet(exchange)
    exchange.close()


def named() -> None:
    """Its file stays, for whoever reads along; that of the epoch before goes with the next one."""
    with private_folder() as folder:
        exchanges = [maker("shared_memory", folder).open(WORLD, 7, 0)]
        for epoch in range(3):
            exchanges.append(maker("shared_memory", folder).open(WORLD, 0, epoch))
            WORLD.Barrier()
            names = sorted(path.name[:9] for path in folder.iterdir())
            assert names == [f"group-0-{epoch}", "group-7-0"]
            WORLD.Barrier()
    for exchange in exchanges:
        meet(exchange, 11)


def no_room() -> None:
    """The first rank cannot make the file as large as it must be."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if RANK == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    with private_folder() as folder:
        refused(folder, "no shared memory: File too large")
        assert list(folder.iterdir()) == []
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def no_permission() -> None:
    """The job's directory cannot be written."""
    with private_folder(0o500) as folder:
        refused(folder, "no shared memory: Permission denied")


def elsewhere() -> None:
    """The last rank sees another folder than the others, as in a container of its own."""
    with private_folder() as folder:
        own = folder / "nowhere" if RANK == SIZE - 1 else folder
        refused(own, "No such file or directory")


def no_shared_memory() -> None:
    """The job's directory had to be on a disk."""
    refused(Path("/tmp"), "/tmp is not in /dev/shm")


def stale() -> None:
    """A file of that name is there already: it is not opened, and it stays."""
    token = WORLD.bcast(secrets.token_bytes(16))
    with private_folder() as folder:
        old = [slot_path(folder, 0, epoch, token) for epoch in (0, 1)]
        for path in old if RANK == 0 else ():
            path.write_bytes(b"of a job that is gone")
        opening.secrets.token_bytes = lambda _: token  # type: ignore[assignment]
        refused(folder, "no shared memory: File exists")
        opening.secrets.token_bytes = secrets.SystemRandom().randbytes  # type: ignore[assignment]
        assert [path.read_bytes() for path in old] == [b"of a job that is gone"] * 2


def stopped() -> None:
    """A rank is stopped when half of its head is written, one in a tail, one in a payload."""
    left = [3]

    def stop() -> None:
        left[0] -= 1
        if not left[0]:
            argv = ["/bin/sh", "-c", STOP, "stop", str(os.getpid()), str(STOPPED_S)]
            subprocess.run(argv, stdin=subprocess.DEVNULL, check=True, timeout=BOUND_S)

    what = {0: "head", 1: "tail", 2: "payload"}.get(RANK)
    if what is not None:
        halfway(what, stop)
    meet(opened())
    assert (left[0] <= 0) == (what is not None)


CASES: dict[str, Callable[[], None]] = {
    case.__name__: case
    for case in (
        fine,
        named,
        no_room,
        no_permission,
        elsewhere,
        no_shared_memory,
        stale,
        stopped,
    )
}


def main() -> int:
    def told() -> None:
        for name in sys.argv[1:]:
            CASES[name]() if name in CASES else beside(Path(name))
            WORLD.Barrier()
            if RANK == 0:
                print(f"passed {name}", flush=True)

    guarded(f"rank {RANK}", told)
    WORLD.Barrier()
    return 0


if __name__ == "__main__":
    sys.exit(main())
