"""Programs over mpi4py as the field writes them, which have no fault: nothing may be found."""

import numpy as np
from mpi4py import MPI

comm = MPI.COMM_WORLD
rank, size = comm.Get_rank(), comm.Get_size()
TASK, DONE, STOP = 1, 2, 3


def farm():
    """Work for whoever is free; a tag says that there is none left."""
    status = MPI.Status()
    if rank:
        while True:
            number = comm.recv(source=0, status=status)
            if status.Get_tag() == STOP:
                return
            comm.send(number * number, 0, tag=DONE)
    todo, busy, found = list(range(7)), 0, []
    for worker in range(1, size):
        comm.send(todo.pop(), worker, tag=TASK)
        busy += 1
    while busy:
        found.append(comm.recv(source=MPI.ANY_SOURCE, tag=DONE, status=status))
        if todo:
            comm.send(todo.pop(), status.Get_source(), tag=TASK)
        else:
            comm.send(None, status.Get_source(), tag=STOP)
            busy -= 1
    assert sorted(found) == [number * number for number in range(7)]


def halo():
    """Edges to both neighbours; there is none beyond the ends."""
    mine, left, right = np.full(4, float(rank)), np.zeros(1), np.zeros(1)
    before = rank - 1 if rank else MPI.PROC_NULL
    after = rank + 1 if rank < size - 1 else MPI.PROC_NULL
    for _ in range(2):
        requests = [comm.Irecv(left, before), comm.Irecv(right, after),
                    comm.Isend(mine[:1], before), comm.Isend(mine[-1:], after)]  # fmt: skip
        MPI.Request.Waitall(requests)
        mine[0] += left[0]
        mine[-1] += right[0]


def polls():
    """Asks for messages until one says that it is over."""
    if rank == 0:
        for worker in range(1, size):
            for number in range(3):
                comm.send(number, worker, tag=TASK)
            comm.send(None, worker, tag=STOP)
        for worker in range(1, size):
            comm.recv(source=worker, tag=DONE)
        return
    status, seen = MPI.Status(), 0
    while status.tag != STOP:
        if comm.iprobe(source=0):
            comm.recv(source=0, status=status)
            seen += 1
    assert seen == 4
    comm.send(seen, 0, tag=DONE)


def pipeline():
    """Each stage keeps the handles of its last two sends."""
    handles = {}
    for number in range(5):
        value = comm.recv(source=rank - 1, tag=number) if rank else number
        if rank < size - 1:
            before = handles.pop(number % 2, None)
            if before:
                before.wait()
            handles[number % 2] = comm.isend(value + 1, rank + 1, tag=number)
    for handle in handles.values():
        handle.wait()
    comm.gather(value, root=0)


def two_levels():
    """A reduction within each host, then between their leaders."""
    host = comm.Split(rank // 2)
    leaders = comm.Split(0 if host.rank == 0 else MPI.UNDEFINED)
    total = host.reduce(rank)
    if leaders:
        total = leaders.allreduce(total)
    assert host.bcast(total) == sum(range(size))


def some_at_a_time():
    if rank:
        comm.isend(rank, 0).wait()
        return
    requests = [comm.irecv(source=worker) for worker in range(1, size)]
    left, total = len(requests), 0
    while left:
        places, values = MPI.Request.waitsome(requests)
        left -= len(places)
        total += sum(values)
    assert total == sum(range(size))
