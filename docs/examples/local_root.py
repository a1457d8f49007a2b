"""The root of a group's broadcast is given by its number in the group, where torch wants the number
in the whole job. In the first group both are the same, so a test with one group passes."""

import os

import torch
import torch.distributed as dist


def groups() -> tuple[object, int]:
    """The group of this rank, and its first member."""
    dist.init_process_group("gloo")
    pairs = [dist.new_group([0, 1]), dist.new_group([2, 3])]
    mine = int(os.environ["RANK"]) // 2
    return pairs[mine], 2 * mine


def wrong() -> None:
    group, _ = groups()
    dist.broadcast(torch.ones(2), src=0, group=group)


def mended() -> None:
    group, first = groups()
    dist.broadcast(torch.ones(2), src=first, group=group)
