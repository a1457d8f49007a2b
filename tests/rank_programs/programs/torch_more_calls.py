"""Further forms of c10d's calls over torch.distributed, as users write them, with their results."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as funcol
from torch.distributed.device_mesh import init_device_mesh


def same(found: torch.Tensor, expected: list[float]) -> None:
    assert found.detach().flatten().tolist() == expected, (found, expected)


def begin() -> tuple[int, int]:
    dist.init_process_group("gloo")
    return dist.get_rank(), dist.get_world_size()


def one(rank: int, count: int = 1) -> torch.Tensor:
    return torch.full((count,), float(rank))


def coalesced() -> None:
    rank, size = begin()
    tensors = [one(rank, 2), one(rank, 3)]
    dist.all_reduce_coalesced(tensors)
    same(tensors[1], [6.0] * 3)
    rows = [[torch.zeros(2), torch.zeros(1)] for _ in range(size)]
    dist.all_gather_coalesced(rows, [one(rank, 2), one(rank)])
    same(rows[3][0], [3.0, 3.0])
    whole = [torch.zeros(size), torch.zeros(size)]
    with dist._coalescing_manager():
        for out in whole:
            dist.all_gather_into_tensor(out, one(rank))
    same(whole[1], [0.0, 1.0, 2.0, 3.0])
    parts = [torch.zeros(1), torch.zeros(1)]
    with dist._coalescing_manager():
        for out in parts:
            dist.reduce_scatter_tensor(out, torch.arange(4.0))
    same(parts[0], [4.0 * rank])
    with dist._coalescing_manager(async_ops=True) as manager:
        for tensor in tensors:
            dist.all_reduce(tensor)
    manager.wait()
    same(tensors[0], [24.0, 24.0])


def subgroups() -> None:
    rank, _ = begin()
    group, _ = dist.new_subgroups_by_enumeration([[0, 2], [1, 3]])
    found = one(rank)
    dist.all_reduce(found, group=group)
    same(found, [4.0 if rank % 2 else 2.0])
    assert dist.get_process_group_ranks(group) == [rank % 2, rank % 2 + 2]
    if rank < 2:  # its members alone call it
        pair = dist.new_group([0, 1], use_local_synchronization=True)
        dist.all_reduce(found := torch.ones(1), group=pair)
        same(found, [2.0])


def members_by_their_numbers() -> None:
    rank, _ = begin()
    group = dist.new_group([1, 3])
    if rank % 2 == 0:
        return
    dist.broadcast(found := one(rank), group_src=1, group=group)
    same(found, [3.0])
    dist.reduce(found, group_dst=0, group=group)
    same(found, [6.0 if rank == 1 else 3.0])
    values = [None] if rank == 1 else ["x"]
    dist.broadcast_object_list(values, group_src=1, group=group)
    assert values == ["x"]
    if rank == 1:
        dist.send(one(7, 7), group_dst=1, group=group)
    else:
        dist.recv(found := torch.zeros(7), group_src=0, group=group)
        same(found, [7.0] * 7)


def distributed_tensors() -> None:
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    rank, _ = begin()
    mesh = init_device_mesh("cpu", (4,))
    whole = distribute_tensor(torch.arange(8.0), mesh, [Shard(0)])
    same(whole.to_local(), [2.0 * rank, 2.0 * rank + 1])
    same(whole.redistribute(mesh, [Replicate()]).to_local(), [float(n) for n in range(8)])
    flat = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))["dp", "tp"]._flatten()
    dist.all_reduce(found := torch.ones(1), group=flat.get_group())
    same(found, [4.0])


def with_gradients() -> None:
    import torch.distributed.nn.functional as differentiable

    rank, _ = begin()
    given = torch.full((1,), float(rank), requires_grad=True)
    found = differentiable.all_reduce(given * 2)
    found.backward()
    same(found, [12.0])
    same(given.grad, [8.0])
    more = torch.full((2,), float(rank), requires_grad=True)
    gathered = funcol.all_gather_tensor_autograd(more, 0, dist.group.WORLD)
    funcol.wait_tensor(gathered).sum().backward()
    same(more.grad, [4.0, 4.0])
    moved = funcol.permute_tensor(one(rank), [1, 2, 3, 0], dist.group.WORLD)
    same(funcol.wait_tensor(moved), [float((rank - 1) % 4)])
