"""Calls of torch.distributed whose results are known, on four ranks: one function a family."""

import datetime
import os

import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as funcol
from torch.distributed.device_mesh import init_device_mesh


def same(got, want):
    got = got.tolist() if isinstance(got, torch.Tensor) else list(got)
    assert got == want, (got, want)


def one(value):
    return torch.tensor([float(value)])


def begin(backend="gloo"):
    dist.init_process_group(backend)
    assert (dist.get_world_size(), dist.get_backend()) == (4, backend)
    return dist.get_rank()


def reductions():
    rank = begin()
    for op, want in (("SUM", 10.0), ("MAX", 4.0), ("MIN", 1.0), ("PRODUCT", 24.0), ("AVG", 2.5)):
        t = one(rank + 1)
        dist.all_reduce(t, op=getattr(dist.ReduceOp, op))
        same(t, [want])
    t = torch.tensor([1 << rank])
    dist.all_reduce(t, op=dist.ReduceOp.BOR)
    same(t, [15])
    t = one(rank)
    dist.reduce(t, 1)
    if rank == 1:
        same(t, [6.0])
    t = torch.zeros(1)
    dist.reduce_scatter(t, [one(i) for i in range(4)])
    same(t, [4.0 * rank])
    dist.reduce_scatter_tensor(t, torch.arange(4.0))
    same(t, [4.0 * rank])
    pair = [torch.ones(2) * rank, torch.ones(3)]
    with dist._coalescing_manager():
        for t in pair:
            dist.all_reduce(t)
    same(pair[0], [6.0, 6.0])
    same(pair[1], [4.0, 4.0, 4.0])


def gathers():
    rank = begin()
    t = one(rank)
    dist.broadcast(t, 2)
    same(t, [2.0])
    out = [torch.zeros(1) for _ in range(4)]
    dist.all_gather(out, one(rank))
    same(torch.cat(out), [0.0, 1.0, 2.0, 3.0])
    for shape in ((4,), (4, 1)):
        t = torch.zeros(shape)
        dist.all_gather_into_tensor(t, one(rank))
        same(t.view(-1), [0.0, 1.0, 2.0, 3.0])
    out = [torch.zeros(1) for _ in range(4)] if rank == 3 else None
    dist.gather(one(rank), out, dst=3)
    if rank == 3:
        same(torch.cat(out), [0.0, 1.0, 2.0, 3.0])
    t = torch.zeros(1)
    dist.scatter(t, [one(i * 10) for i in range(4)] if rank == 1 else None, src=1)
    same(t, [rank * 10.0])
    out = [torch.zeros(1) for _ in range(4)]
    dist.all_to_all(out, [one(rank * 10 + i) for i in range(4)])
    same(torch.cat(out), [i * 10.0 + rank for i in range(4)])
    t = torch.zeros(4)
    dist.all_to_all_single(t, torch.arange(4.0) + rank * 10)
    same(t, [i * 10.0 + rank for i in range(4)])
    splits = [1, 2, 1, 0]
    mine = splits[rank]
    t = torch.zeros(4 * mine)
    dist.all_to_all_single(t, torch.full((4,), float(rank)), [mine] * 4, splits)
    same(t, [float(source) for source in range(4) for _ in range(mine)])
    dist.barrier()
    dist.monitored_barrier()
    dist.destroy_process_group()
    assert not dist.is_initialized()


def objects():
    rank = begin()
    found = [None] * 4
    dist.all_gather_object(found, {"rank": rank})
    assert found == [{"rank": i} for i in range(4)]
    found = [rank, "x" * rank] if rank == 1 else [None, None]
    dist.broadcast_object_list(found, src=1)
    assert found == [1, "x"]
    found = [None] * 4 if rank == 0 else None
    dist.gather_object(("a", rank), found, dst=0)
    assert rank or found == [("a", i) for i in range(4)]
    found = [None]
    dist.scatter_object_list(found, [{"i": i} for i in range(4)] if rank == 2 else None, src=2)
    assert found == [{"i": rank}]
    if rank == 0:
        dist.send_object_list([{"k": 1}, "two"], 1)
    if rank == 1:
        found = [None, None]
        dist.recv_object_list(found, 0)
        assert found == [{"k": 1}, "two"]


def messages():
    rank = begin("nccl")
    after, before = (rank + 1) % 4, (rank - 1) % 4
    mine, got = one(rank), torch.zeros(1)
    if rank % 2 == 0:
        dist.send(mine, after)
        dist.recv(got, before)
    else:
        dist.recv(got, before)
        dist.send(mine, after)
    same(got, [float(before)])
    got = torch.zeros(1)
    ops = [dist.P2POp(dist.isend, mine, after), dist.P2POp(dist.irecv, got, before)]
    for work in dist.batch_isend_irecv(ops):
        work.wait()
    same(got, [float(before)])
    got = torch.zeros(1)
    sent, received = dist.isend(mine, after, tag=3), dist.irecv(got, before, tag=3)
    received.wait()
    sent.wait()
    same(got, [float(before)])
    if rank:
        dist.send(mine, 0)
    else:
        sources = set()
        for _ in range(3):
            source = dist.recv(got)
            same(got, [float(source)])
            sources.add(source)
        assert sources == {1, 2, 3}
    dist.barrier()


def groups():
    rank = begin("nccl")
    half = [1.0] if rank < 2 else [5.0]
    pairs = [dist.new_group([0, 1]), dist.new_group([2, 3])]
    t = one(rank)
    dist.all_reduce(t, group=pairs[rank // 2])
    same(t, half)
    t = one(rank)
    dist.broadcast(t, src=(rank // 2) * 2 + 1, group=pairs[rank // 2])
    same(t, [(rank // 2) * 2 + 1.0])
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    t = one(rank)
    dist.all_reduce(t, group=mesh["tp"].get_group())
    same(t, half)
    t = one(rank)
    dist.all_reduce(t, group=mesh.get_group("dp"))
    same(t, [2.0] if rank % 2 == 0 else [4.0])
    subgroup, _ = dist.new_subgroups(2)
    t = one(rank)
    dist.all_reduce(t, group=subgroup)
    same(t, half)
    same(funcol.all_reduce(one(rank), "sum", (mesh, 1)) + 0, half)


def functional():
    rank = begin("nccl")
    world = dist.group.WORLD
    same(funcol.all_reduce(one(rank), "sum", world) + 0, [6.0])
    same(funcol.all_gather_tensor(one(rank), 0, world) + 0, [0.0, 1.0, 2.0, 3.0])
    same(funcol.reduce_scatter_tensor(torch.arange(4.0), "sum", 0, world) + 0, [4.0 * rank])
    tens = torch.arange(4.0) + rank * 10
    found = funcol.all_to_all_single(tens, None, None, world) + 0
    same(found, [i * 10.0 + rank for i in range(4)])
    same(funcol.broadcast(one(rank), 2, world) + 0, [2.0])
    pair = funcol.all_reduce_coalesced([one(rank), torch.ones(2)], "sum", world)
    same(pair[0] + 0, [6.0])
    same(pair[1] + 0, [4.0, 4.0])


def stores():
    rank = int(os.environ["RANK"])
    store = dist.TCPStore("127.0.0.1", 29511, 4, is_master=rank == 0)
    store.set(f"k{rank}", str(rank))
    store.wait([f"k{i}" for i in range(4)])
    assert store.get("k3") == b"3"
    store.add("n", 1)
    prefixed = dist.PrefixStore("x", store)
    dist.init_process_group("gloo", store=prefixed, rank=rank, world_size=4)
    dist.barrier()
    assert store.add("n", 0) == 4
    try:
        store.wait(["never"], datetime.timedelta(seconds=1))
    except (RuntimeError, dist.DistStoreError):
        pass
    else:
        raise AssertionError("nobody set it")


def works():
    rank = begin()
    t = one(rank)
    work = dist.all_reduce(t, async_op=True)
    while not work.is_completed():
        pass
    same(t, [6.0])
    dist.barrier(async_op=True).wait()
    future = dist.all_reduce(one(rank), async_op=True).get_future()
    same(future.wait()[0], [6.0])


def data_parallel():
    rank = begin()
    torch.manual_seed(rank)
    layer = torch.nn.Linear(4, 2)
    model = torch.nn.parallel.DistributedDataParallel(layer)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randn(3, 4)).sum().backward()
        optimizer.step()
    weights = [torch.zeros_like(layer.weight) for _ in range(4)]
    dist.all_gather(weights, layer.weight.detach())
    assert all(torch.equal(weights[0], weight) for weight in weights)


def generators():
    rank = begin()
    torch.manual_seed(rank)
    wanted = torch.rand(2, generator=torch.Generator().manual_seed(rank)).tolist()
    dist.barrier()
    first = torch.rand(1).item()
    dist.barrier()
    same([first, torch.rand(1).item()], wanted)


def devices():
    rank = begin("nccl")
    torch.cuda.set_device(rank)
    t = torch.ones(2, device="cuda") * rank
    dist.all_reduce(t)
    torch.cuda.synchronize()
    same(t, [6.0, 6.0])
    layer = torch.nn.Linear(2, 2).to(f"cuda:{rank}")
    layer(torch.ones(2).cuda() + torch.zeros(2, device=torch.device("cuda", rank)))
    dist.barrier()
