"""Calls of mpi4py whose results are known, on four ranks: one function a family."""

import numpy as np
from mpi4py import MPI

comm = MPI.COMM_WORLD
rank, size = comm.Get_rank(), comm.Get_size()


def objects():
    rank, size = comm.Get_rank(), comm.size
    assert size == 4
    assert comm.bcast({"root": rank} if rank == 1 else None, root=1) == {"root": 1}
    assert comm.gather(rank, root=2) == ([0, 1, 2, 3] if rank == 2 else None)
    assert comm.allgather((rank,)) == [(0,), (1,), (2,), (3,)]
    assert comm.scatter([10, 20, 30, 40] if rank == 0 else None) == 10 * (rank + 1)
    assert comm.alltoall([rank * 10 + i for i in range(4)]) == [i * 10 + rank for i in range(4)]
    assert comm.reduce(rank, op=MPI.MAX, root=3) == (3 if rank == 3 else None)
    assert comm.allreduce(rank + 1, op=MPI.PROD) == 24
    assert comm.allreduce((rank % 2, rank), op=MPI.MAXLOC) == (1, 1)
    assert comm.scan(rank) == sum(range(rank + 1))
    assert comm.exscan(1) == (rank or None)
    comm.barrier()
    sent = [rank]
    got = comm.allgather(sent)
    got[rank].append("mine")
    assert sent == [rank], "values are copied"


def buffers():
    rank = comm.rank
    mine = np.full(2, rank, dtype="d")
    whole = np.zeros(8)
    comm.Allgather(mine, whole)
    assert whole.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    comm.Allgather([mine, MPI.DOUBLE], [whole, MPI.DOUBLE])
    total = np.zeros(2)
    comm.Allreduce(mine, total, op=MPI.SUM)
    assert total.tolist() == [6, 6]
    comm.Allreduce(MPI.IN_PLACE, mine)
    assert mine.tolist() == [6, 6]
    root = np.arange(3, dtype="i") if rank == 1 else np.zeros(3, dtype="i")
    comm.Bcast([root, MPI.INT], root=1)
    assert root.tolist() == [0, 1, 2]
    part = np.zeros(2, dtype="i")
    comm.Scatter(np.arange(8, dtype="i") if rank == 0 else None, part, root=0)
    assert part.tolist() == [2 * rank, 2 * rank + 1]
    back = np.zeros(8, dtype="i") if rank == 0 else None
    comm.Gather(part, back, root=0)
    assert rank or back.tolist() == list(range(8))
    counts = [1, 2, 3, 4]
    ragged = np.full(rank + 1, rank, dtype="i")
    out = np.zeros(10, dtype="i")
    comm.Allgatherv(ragged, [out, counts, [0, 1, 3, 6], MPI.INT])
    assert out.tolist() == [0, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    comm.Gatherv(ragged, (out, counts) if rank == 2 else None, root=2)
    swapped = np.zeros(4, dtype="i")
    comm.Alltoall(np.arange(4, dtype="i") + 10 * rank, swapped)
    assert swapped.tolist() == [10 * i + rank for i in range(4)]
    top = np.zeros(1)
    comm.Reduce(np.array([float(rank)]), top if rank == 3 else None, op=MPI.MAX, root=3)
    assert rank != 3 or top[0] == 3
    prefix = np.zeros(1)
    comm.Scan(np.ones(1), prefix)
    assert prefix[0] == rank + 1
    request = comm.Iallreduce(np.ones(1), total[:1])
    request.Wait()
    assert total[0] == 4


def messages():
    rank = comm.rank
    after, before = (rank + 1) % 4, (rank - 1) % 4
    assert comm.sendrecv(rank, dest=after, source=before) == before
    got = np.zeros(1)
    comm.Sendrecv(np.array([float(rank)]), after, recvbuf=got, source=before)
    assert got[0] == before
    status = MPI.Status()
    if rank == 0:
        seen = set()
        for _ in range(3):
            comm.probe(source=MPI.ANY_SOURCE, tag=7, status=status)
            value = comm.recv(source=status.Get_source(), tag=7, status=status)
            assert value == status.source
            seen.add(value)
        assert seen == {1, 2, 3}
    else:
        comm.send(rank, 0, tag=7)
    requests = [comm.isend(rank, after, tag=1), comm.irecv(source=before, tag=1)]
    assert MPI.Request.waitall(requests) == [None, before]
    buffer = np.zeros(5000)
    sent = comm.Isend(np.full(5000, float(rank)), after, tag=2)
    while not comm.iprobe(source=before, tag=2):
        pass
    comm.Recv(buffer, before, 2, status)
    sent.Wait()
    assert buffer[0] == before
    assert status.Get_count(MPI.DOUBLE) == 5000
    comm.send("nothing", MPI.PROC_NULL)
    assert comm.recv(source=MPI.PROC_NULL) is None


def communicators():
    rank = comm.rank
    half = comm.Split(rank % 2, key=-rank)
    assert (half.size, half.rank) == (2, 1 - rank // 2)
    assert half.allgather(rank) == ([2, 0] if rank % 2 == 0 else [3, 1])
    none = comm.Split(MPI.UNDEFINED if rank else 0)
    assert (none == MPI.COMM_NULL) == (rank > 0)
    copy = comm.Dup()
    if rank == 0:
        comm.send("world", 1)
        copy.send("copy", 1)
    if rank == 1:
        assert copy.recv(source=0) == "copy"
        assert comm.recv(source=0) == "world"
    if rank < 3:
        few = comm.Create_group(comm.Get_group().Incl([2, 0, 1]))
        assert few.allgather(rank) == [2, 0, 1]
    made = comm.Create(comm.group.Excl([0]))
    assert made is None if rank == 0 else made.size == 3
    assert MPI.COMM_SELF.allreduce(rank) == rank
    before = MPI.Wtime()
    comm.Barrier()
    assert 0 <= MPI.Wtime() - before < 1


def several():
    comm = MPI.COMM_WORLD
    rank, size = comm.Get_rank(), comm.Get_size()
    part, scanned = np.zeros(1), np.zeros(1)
    handles = [
        comm.Iscan(np.ones(1), scanned),
        comm.Ireduce_scatter_block(np.ones(size), part),
        comm.Iallgatherv(np.full(1, float(rank)), [found := np.zeros(size), [1] * size]),
    ]
    left = list(handles)
    while any(left):
        places, _ = MPI.Request.waitsome(left)
        assert places
    assert (scanned[0], part[0], found.tolist()) == (rank + 1, size, list(range(size)))
    assert MPI.Request.waitsome(left) == (None, None)
    nexts = [comm.ibarrier(), comm.ibarrier()]
    while not all(MPI.Request.testany(nexts)[1] for _ in nexts):
        pass
    MPI.Request.waitall(nexts)


def first_of_several():
    comm = MPI.COMM_WORLD
    if comm.Get_rank() == 0:
        handles = [comm.irecv(source=1), comm.irecv(source=2)]
        comm.barrier()
        place, _ = MPI.Request.waitany(handles)
        assert place == 0, "the other was first"
        MPI.Request.waitall(handles)
    else:
        if comm.Get_rank() < 3:
            comm.send(1, 0)
        comm.barrier()


def injected(dist):
    assert dist.tp_allgather(dist.rank) == list(range(dist.world_size))
    assert dist.tp_gather(1, root=1) == ([1] * 4 if dist.rank == 1 else None)
    assert dist.tp_broadcast("x" if dist.tp_rank == 0 else None) == "x"
    assert dist.pp_gather(5) == [5]
    dist.barrier()


def wildcards():
    if comm.rank == 0:
        first = comm.recv()
        second = comm.recv()
        comm.recv()
        assert first < second
    else:
        comm.send(comm.rank, 0)


def crossed():
    other = np.zeros(2000)
    if comm.rank < 2:
        comm.Send(np.zeros(2000), 1 - comm.rank)
        comm.Recv(other, 1 - comm.rank)


def truncated():
    if comm.rank == 0:
        comm.Send(np.zeros(4), 1)
    if comm.rank == 1:
        comm.Recv(np.zeros(2), 0)


def other_root():
    comm.bcast(1, root=1 if comm.rank == 3 else 0)


def other_count():
    comm.Allreduce(np.zeros(3 if comm.rank == 2 else 4), np.zeros(4))


def never_waited():
    if comm.rank == 0:
        comm.send(1, 1)
    if comm.rank == 1:
        comm.irecv(source=0)
    comm.barrier()


def not_provided():
    comm.barrier()
    MPI.Win.Create(None)


def of_a_class():
    MPI.Datatype.Create_struct([1], [0], [MPI.INT])


def of_an_object():
    comm.Create_cart([2, 2])


def of_a_module():
    from mpi4py.futures import MPIPoolExecutor  # noqa: F401


def raised_from_it():
    try:
        MPI.Win.Allocate(3)
    except AttributeError as error:
        raise RuntimeError("no windows") from error


def in_a_class_of_its_own():
    class Mine(MPI.Intracomm):
        pass

    print(Mine(comm).nothing)


def after_the_end():
    comm.barrier()
    MPI.Finalize()
    assert MPI.Is_finalized()
    comm.barrier()


def after_it_was_freed():
    twin = comm.Dup()
    twin.Free()
    assert not twin
    twin.barrier()


def no_such_tag():
    comm.send("x", 0, tag=-5)


def no_such_rank():
    comm.send("x", 9)


def asks_what_is_there():
    assert not hasattr(MPI, "Win")
    assert not hasattr(comm, "Create_cart")
    assert hasattr(comm, "Split")
    try:
        comm.send("x", 9)
    except MPI.Exception as error:
        found = error.Get_error_class()
    assert found == MPI.ERR_RANK
    try:
        from mpi4py import futures
    except ImportError:
        futures = None
    assert futures is None
    comm.barrier()


def persistent():
    given, got = np.zeros(3), np.zeros(3)
    before, after = (rank - 1) % size, (rank + 1) % size
    requests = [comm.Send_init(given, after, 4), comm.Recv_init(got, before, 4)]
    for number in range(3):
        given[:] = rank + number
        MPI.Prequest.Startall(requests)
        MPI.Request.Waitall(requests)
        assert (got == before + number).all()
    assert requests[0].Test()
    total = np.zeros(1)
    reduction = comm.Allreduce_init(np.ones(1), total)
    for _ in range(2):
        reduction.Start()
        reduction.Wait()
        assert total[0] == size
    for request in (*requests, reduction):
        request.Free()


def started_twice():
    if rank == 0:
        request = comm.Recv_init(np.zeros(1), 1)
        request.Start()
        request.Start()


def started_and_left():
    if rank == 0:
        comm.Recv_init(np.zeros(1), 1).Start()
    elif rank == 1:
        comm.Send(np.ones(1), 0)


def kept():
    status, into = MPI.Status(), np.zeros(2)
    if rank == 0:
        for _ in range(size - 1):
            message = comm.mprobe(tag=3, status=status)
            assert not comm.iprobe(source=status.Get_source(), tag=3)
            assert message.recv() == status.Get_source()
        message = None
        while message is None:
            message = MPI.Message.Iprobe(comm, source=1, tag=9)
        message.Irecv(into).Wait()
        assert (into == 1).all()
        assert comm.mprobe(source=MPI.PROC_NULL).recv() is None
    else:
        comm.send(rank, 0, tag=3)
        if rank == 1:
            comm.Send(np.ones(2), 0, tag=9)


def kept_and_left():
    if rank == 0:
        comm.mprobe()
    elif rank == 1:
        comm.send("x", 0)
