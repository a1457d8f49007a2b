"""Programs over torch.distributed as the field writes them, without a fault: nothing is found."""

import pickle

import torch
import torch.distributed as dist


def begin():
    dist.init_process_group("gloo")
    return dist.get_rank(), dist.get_world_size()


def objects_as_bytes():
    """A length first, then so many bytes (SGLang's way)."""
    rank, _ = begin()
    group = dist.new_group(backend="gloo")
    length = torch.zeros(1, dtype=torch.long)
    data = torch.frombuffer(bytearray(pickle.dumps({"step": 1})), dtype=torch.uint8)
    if rank == 0:
        length[0] = data.numel()
    dist.broadcast(length, 0, group=group)
    got = data if rank == 0 else torch.zeros(int(length), dtype=torch.uint8)
    dist.broadcast(got, 0, group=group)
    assert pickle.loads(bytes(got.numpy())) == {"step": 1}


def pipeline():
    rank, size = begin()
    handles = []
    for _ in range(3):
        value = torch.zeros(2)
        if rank:
            dist.recv(value, rank - 1)
        if rank < size - 1:
            handles.append(dist.isend(value + 1, rank + 1))
    for handle in handles:
        handle.wait()
    dist.barrier()


def ring():
    rank, size = begin()
    mine = torch.ones(2) * rank
    for _ in range(size - 1):
        got = torch.zeros(2)
        ops = [
            dist.P2POp(dist.isend, mine, (rank + 1) % size),
            dist.P2POp(dist.irecv, got, (rank - 1) % size),
        ]
        for work in dist.batch_isend_irecv(ops):
            work.wait()
        mine = got
    assert mine[0] == (rank + 1) % size


def parameter_server():
    rank, size = begin()
    value = torch.zeros(2)
    if rank == 0:
        for _ in range(2 * (size - 1)):
            dist.send(value, dist.recv(value))
        return
    for _ in range(2):
        dist.send(torch.ones(2), 0)
        dist.recv(value, 0)
