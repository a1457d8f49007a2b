"""One rank alone tells about a failed transfer (NVIDIA/TensorRT-LLM #13902).

`dist` is the object that the executor is given. The mended program flushes in each iteration, on
every rank, whatever it has to say: a flush with an empty list is a flush.
"""


def failed_transfers(rank: int, iteration: int) -> list[int]:
    return [17] if rank == 1 and iteration == 2 else []


def wrong(dist) -> None:
    for iteration in range(5):
        failed = failed_transfers(dist.rank, iteration)
        if failed:
            dist.tp_gather(failed)
        dist.tp_allgather(iteration)


def mended(dist) -> None:
    for iteration in range(5):
        failed = failed_transfers(dist.rank, iteration)
        told = dist.tp_gather(failed)
        if dist.rank == 0 and iteration == 2:
            assert told[1] == [17]
        dist.tp_allgather(iteration)
