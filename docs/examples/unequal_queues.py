"""Ranks poll their transfers and reduce the states (sgl-project/sglang #37909).

The wrong program reduces a tensor as long as the rank's own queue. The mended one agrees on the
queue first, and has one entry for each request that any rank knows.
"""

import os

import torch
import torch.distributed as dist

DONE, WAITING = 1, 0


def queue_of(rank: int, step: int) -> list[int]:
    """Rank 1 heard of request 7 a step later than the others."""
    queue = [3, 5]
    if step > 1 or (step == 1 and rank != 1):
        queue.append(7)
    return queue


def poll_wrong(queue: list[int]) -> list[int]:
    polls = torch.tensor([DONE for _ in queue])
    dist.all_reduce(polls, op=dist.ReduceOp.MIN)
    return polls.tolist()


def poll_mended(queue: list[int]) -> list[int]:
    known: list[list[int] | None] = [None] * dist.get_world_size()
    dist.all_gather_object(known, queue)
    requests = sorted({request for each in known for request in each or []})
    polls = torch.tensor([DONE if request in queue else WAITING for request in requests])
    dist.all_reduce(polls, op=dist.ReduceOp.MIN)
    return polls.tolist()


def serve(poll) -> None:
    dist.init_process_group("gloo")
    rank = int(os.environ["RANK"])
    for step in range(4):
        states = poll(queue_of(rank, step))
        assert len(states) >= 2
    dist.destroy_process_group()


def wrong() -> None:
    serve(poll_wrong)


def mended() -> None:
    serve(poll_mended)
