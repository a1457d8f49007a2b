"""Programs whose messages are not received, or not in one order."""

import numpy as np
from mpi4py import MPI

comm = MPI.COMM_WORLD
rank = comm.Get_rank()


def other_tag():
    if rank == 0:
        comm.recv(source=1, tag=6)
    elif rank == 1:
        comm.send("x", 0, tag=5)


def other_communicator():
    twin = comm.Dup()
    if rank == 0:
        comm.recv(source=1)
    elif rank == 1:
        twin.send("x", 0)


def other_source():
    if rank == 0:
        comm.recv(source=2)
    elif rank == 1:
        comm.send("x", 0)


def left():
    if rank == 1:
        comm.send("x", 0)
        comm.send("y", 0)
    comm.barrier()


def left_although_waited_for():
    request = comm.Isend(np.ones(2), 1) if rank == 0 else None
    comm.barrier()
    if request:
        request.Wait()


def posted_for_another_tag():
    if rank == 0:
        going_on = comm.irecv(source=1, tag=6)
        comm.barrier()
        going_on.Cancel()
    else:
        comm.send("x", 0, tag=5)
        comm.barrier()


def dropped():
    if rank == 0:
        comm.isend("x", 1)
    elif rank == 1:
        comm.recv(source=0)


def race():
    if rank == 0:
        first = comm.recv(source=MPI.ANY_SOURCE)
        second = comm.recv(source=MPI.ANY_SOURCE)
        assert first < second
    elif rank < 3:
        comm.send(rank, 0)


def probed_race():
    status = MPI.Status()
    found = []
    if rank == 0:
        while len(found) < 2:
            if comm.iprobe(status=status):
                found.append(comm.recv(source=status.Get_source()))
        assert found == [1, 2]
    elif rank < 3:
        comm.send(rank, 0)


def answers():
    """The second message of a rank answers what it got for the first."""
    if rank == 0:
        status = MPI.Status()
        found = []
        for _ in range(4):
            found.append(comm.recv(source=MPI.ANY_SOURCE, status=status))
            comm.send("more", status.Get_source())
        assert found[0] == 1
    elif rank < 3:
        for _ in range(2):
            comm.send(rank, 0)
            comm.recv(source=0)
