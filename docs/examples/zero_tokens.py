"""A rank without tokens returns before the collective of the step (vllm-project/vllm #43547).

The ranks get stuck at the end, or at the next collective of another kind: until then the rank is a
step ahead, and nothing looks wrong.
"""

import os

import torch
import torch.distributed as dist

STEPS = 6


def tokens_of(rank: int, step: int) -> int:
    """Rank 2 has nothing to do in the fourth step: its request ended a step before the others."""
    return 0 if rank == 2 and step == 3 else 4


def step_wrong(num_tokens: int) -> None:
    if num_tokens == 0:
        return
    hidden = torch.ones(num_tokens)
    dist.all_reduce(hidden)


def step_mended(num_tokens: int) -> None:
    hidden = torch.ones(4) if num_tokens else torch.zeros(4)  # a dummy batch
    dist.all_reduce(hidden)


def serve(step) -> None:
    dist.init_process_group("gloo")
    rank = int(os.environ["RANK"])
    for number in range(STEPS):
        step(tokens_of(rank, number))
    dist.barrier()
    dist.destroy_process_group()


def wrong() -> None:
    serve(step_wrong)


def mended() -> None:
    serve(step_mended)
