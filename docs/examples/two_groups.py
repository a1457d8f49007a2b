"""Two groups share ranks, and one rank comes to their collectives in the other order."""

import os

import torch
import torch.distributed as dist


def run(ordered: bool) -> None:
    dist.init_process_group("nccl")
    rank = int(os.environ["RANK"])
    tensor, expert = dist.new_group([0, 1, 2, 3]), dist.new_group([0, 1, 2, 3])
    prefetches = rank == 3 and not ordered
    first, second = (expert, tensor) if prefetches else (tensor, expert)
    for _ in range(3):
        dist.all_reduce(torch.ones(8), group=first)
        dist.all_reduce(torch.ones(8), group=second)


def wrong() -> None:
    run(ordered=False)


def mended() -> None:
    run(ordered=True)
