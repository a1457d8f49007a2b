"""An asynchronous reduction whose handle is dropped: the loss is read before it is there."""

import os

import torch
import torch.distributed as dist


def run(waits: bool) -> None:
    dist.init_process_group("gloo")
    loss = torch.tensor([float(os.environ["RANK"])])
    work = dist.all_reduce(loss, async_op=True)
    if waits:
        work.wait()
        assert loss.item() == sum(range(dist.get_world_size()))
    dist.barrier()


def wrong() -> None:
    run(waits=False)


def mended() -> None:
    run(waits=True)
