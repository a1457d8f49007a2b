"""What the ranks of one host share without messages: the start of their clocks, and a board."""

from __future__ import annotations

import os
import tempfile
from array import array
from pathlib import Path
from time import perf_counter_ns
from typing import Final

from mpi4py import MPI

from adpkv.diagnosis.board import Board
from adpkv.executor.ports import Clock

__all__ = ["open_board", "start_clock"]

SHARED: Final = Path("/dev/shm")
"""Where writing to a mapped file costs microseconds at worst; on a disk it can take 65."""

PATH_BYTES: Final = 4096


def start_clock(world: MPI.Intracomm) -> Clock:
    """A clock that begins now; every rank must come.

    Ranks of one machine begin at the same reading of its clock. Each reading its own would set them
    milliseconds apart where there are fewer cores than ranks, and an effect before its cause in
    `events.jsonl`. Between machines it is as near as a barrier gets.
    """
    node = world.Split_type(MPI.COMM_TYPE_SHARED)
    world.Barrier()
    began = bytearray(perf_counter_ns().to_bytes(8, "little"))
    node.Bcast([began, len(began), MPI.BYTE])
    node.Free()
    began_ns = int.from_bytes(began, "little")
    return lambda: perf_counter_ns() - began_ns


def open_board(world: MPI.Intracomm) -> Board:
    """The board of this host's ranks; every rank must come. Its file has no name afterwards."""
    node = world.Split_type(MPI.COMM_TYPE_SHARED)
    ranks = array("i", bytes(4 * node.size))
    node.Allgather([array("i", [world.rank]), 4, MPI.BYTE], [ranks, 4, MPI.BYTE])
    name = b""
    if node.rank == 0:
        folder = SHARED if os.access(SHARED, os.W_OK) else None
        handle, made = tempfile.mkstemp(prefix="adpkv-board-", dir=folder)
        os.close(handle)
        Board.make(Path(made), node.size)
        name = made.encode()
    letter = bytearray(name.ljust(PATH_BYTES, b"\0"))
    node.Bcast([letter, PATH_BYTES, MPI.BYTE], 0)
    path = Path(letter.rstrip(b"\0").decode())
    board = Board(path, list(ranks), world.rank)
    node.Barrier()
    if node.rank == 0:
        path.unlink()
    node.Free()
    return board
