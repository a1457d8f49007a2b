"""Programs over torch.distributed that fail on four ranks, each in its own way."""

import torch
import torch.distributed as dist


def begin():
    dist.init_process_group("nccl")
    return dist.get_rank()


def wrong_operation():
    rank = begin()
    x = torch.ones(4)
    if rank == 3:
        dist.broadcast(x, 0)
    else:
        dist.all_reduce(x)


def wrong_shape():
    rank = begin()
    x = torch.ones(3 if rank == 1 else 4)
    dist.all_reduce(x)


def wrong_split():
    rank = begin()
    x = torch.zeros(4)
    dist.all_to_all_single(x, torch.ones(4), [1] * 4, [2, 0, 1, 1] if rank == 2 else [1] * 4)


def order_inversion():
    rank = begin()
    one, other = dist.new_group([0, 1, 2, 3]), dist.new_group([0, 1, 2, 3])
    first, second = (one, other) if rank != 1 else (other, one)
    dist.all_reduce(torch.ones(4), group=first)
    dist.all_reduce(torch.ones(4), group=second)


def never_waited():
    begin()
    x = torch.ones(4)
    dist.all_reduce(x, async_op=True)
    dist.barrier()


def absent_from_the_rendezvous():
    import os

    if os.environ["RANK"] != "2":
        begin()


def crossed_sends():
    rank = begin()
    if rank < 2:
        dist.send(torch.ones(1), 1 - rank)
        dist.recv(torch.ones(1), 1 - rank)


def unknown_reduction():
    begin()
    group = dist.group.WORLD
    group.allreduce([torch.ones(1)], dist.ReduceOp.PREMUL_SUM)


def key_that_nobody_writes():
    rank = begin()
    store = dist.TCPStore("127.0.0.1", 29511)
    if rank == 0:
        store.get("ready")


def another_size():
    import os

    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo", rank=rank, world_size=8, init_method="tcp://127.0.0.1:1")


def remote_calls(rank: int) -> None:
    dist.rpc.init_rpc(f"worker {rank}", rank=rank, world_size=4)


def workers_of_a_loader() -> None:
    dist.init_process_group("gloo")
    list(torch.utils.data.DataLoader(list(range(8)), num_workers=2))


def count_that_is_never_reached() -> None:
    dist.init_process_group("gloo")
    store = dist.TCPStore("127.0.0.1", 1234, 4, dist.get_rank() == 0)
    store.add("here", 1)
    while int(store.get("here")) < 5:
        pass


def half():
    """The group of the even or the odd ranks."""
    rank = begin()
    groups = [dist.new_group(list(range(first, dist.get_world_size(), 2))) for first in (0, 1)]
    return rank, groups[rank % 2]


def skips_in_a_group():
    rank, group = half()
    if rank != 2:
        dist.all_reduce(torch.ones(4), group=group)
    dist.barrier()


def skips_objects_in_a_group():
    rank, group = half()
    if rank != 2:
        found = [None] * dist.get_world_size(group)
        dist.all_gather_object(found, {"rank": rank}, group=group)
    dist.all_reduce(torch.ones(2))


def skips_in_a_mesh():
    rank = begin()
    size = dist.get_world_size() // 2
    mesh = dist.device_mesh.init_device_mesh("cpu", (2, size), mesh_dim_names=("dp", "tp"))
    for number in range(3):
        if not (rank == 2 and number == 1):
            dist.all_reduce(torch.ones(2), group=mesh["tp"].get_group())
        dist.all_reduce(torch.ones(2), group=mesh["dp"].get_group())
    dist.barrier()


def other_order_in_a_group():
    rank, group = half()
    order = [None, group] if rank == 2 else [group, None]
    for one in order:
        dist.all_reduce(torch.ones(2), group=one)


def split_by_its_backend():
    begin()
    dist.group.WORLD.split_group([0], None, None, "part")


def sparse():
    begin()
    dist.group.WORLD.allreduce_sparse([torch.ones(2)])
