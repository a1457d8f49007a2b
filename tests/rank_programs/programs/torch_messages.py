"""Programs over torch.distributed whose messages are not received, or not in one order."""

import torch
import torch.distributed as dist


def begin(backend="gloo"):
    dist.init_process_group(backend)
    return dist.get_rank(), torch.ones(1) * dist.get_rank()


def other_tag(backend="gloo"):
    rank, value = begin(backend)
    if rank == 0:
        dist.recv(value, 1, tag=6)
    elif rank == 1:
        dist.send(value, 0, tag=5)


def other_tag_of_nccl():
    other_tag("nccl")


def left():
    rank, value = begin()
    if rank == 1:
        dist.isend(value, 0).wait()


def dropped():
    rank, value = begin()
    if rank == 0:
        dist.recv(value, 1)
    elif rank == 1:
        dist.isend(value, 0)


def race():
    rank, value = begin()
    if rank == 0:
        dist.recv(value)
        first = value.item()
        dist.recv(value)
        assert first < value.item()
    else:
        dist.send(value, 0)
