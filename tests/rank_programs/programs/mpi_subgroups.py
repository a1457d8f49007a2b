"""Programs that get stuck in more than one communicator."""

from mpi4py import MPI

comm = MPI.COMM_WORLD
rank = comm.Get_rank()


def halves():
    return comm.Split(rank % 2, rank)


def skips_one():
    sub = halves()
    if rank != 2:
        sub.allgather(1)
    comm.barrier()


def skips_two():
    sub = halves()
    if rank != 2:
        sub.allgather(1)
        sub.barrier()
    comm.barrier()


def skips_a_pass():
    sub = halves()
    for number in range(4):
        if not (rank == 2 and number == 1):
            sub.allgather(number)
        comm.barrier()


def skips_and_receives():
    sub = halves()
    if rank != 2:
        sub.allgather(1)
    if rank == 2:
        comm.recv(source=0)
    if rank == 0:
        comm.send(1, 2)


def skips_what_others_need():
    sub, found = halves(), None
    if rank != 2:
        found = sub.allgather(rank + 1)
    assert sum(comm.bcast(found, root=0))


def skips_within_a_half():
    half = comm.Split(rank // 4, rank)
    quarter, twin = half.Split(rank % 2, rank), half.Dup()
    if rank != 6:
        twin.allreduce(1)
    quarter.barrier()
    comm.barrier()


def comes_alone():
    sub = halves()
    if rank == 2:
        sub.allgather(1)
    comm.barrier()


def other_order():
    sub = halves()
    if rank == 2:
        comm.barrier()
        sub.allgather(1)
    else:
        sub.allgather(1)
        comm.barrier()


def other_order_later():
    sub = halves()
    if rank == 2:
        comm.barrier()
        sub.ibarrier().wait()
    else:
        going_on = sub.ibarrier()
        going_on.wait()
        comm.barrier()


def in_a_ring():
    pairs = ((0, 1), (1, 2), (0, 2))
    group = {pair: comm.Create_group(comm.group.Incl(pair)) for pair in pairs if rank in pair}
    order = {0: [(0, 1), (0, 2)], 1: [(1, 2), (0, 1)], 2: [(0, 2), (1, 2)]}[rank]
    for pair in order:
        group[pair].barrier()
