"""Engines go on while any of them has work, and agree on that once in a few steps (vLLM's waves).

In the wrong program an engine that has run dry stops counting its steps, and so comes to the
agreement at another step than the others.
"""

import os

import torch
import torch.distributed as dist

EVERY = 4


def engines_have_work(mine: bool) -> bool:
    flag = torch.tensor([int(mine)])
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag.item())


def run(counts_idle_steps: bool) -> None:
    dist.init_process_group("gloo")
    rank = int(os.environ["RANK"])
    left = 3 + 2 * rank  # steps of work
    counter = 0
    running = True
    while running:
        busy = left > 0
        dist.all_reduce(torch.ones(2))  # the step: a dummy batch where there is no work
        left -= busy
        if busy or counts_idle_steps:
            counter += 1
        if counter % EVERY == 0:
            running = engines_have_work(left > 0)
    dist.destroy_process_group()


def wrong() -> None:
    run(counts_idle_steps=False)


def mended() -> None:
    run(counts_idle_steps=True)
