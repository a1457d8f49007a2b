"""A process group of torch whose members are the ranks of a schedule.

It is a Python `ProcessGroup`, which c10d's own functions call: their checks of arguments, object
collectives and functional collectives are torch's, unchanged. Both sets of low-level names are
here: 2.13 calls `all_gather_single`, older versions `_allgather_base`. A method that is not here
ends in torch's own error that the backend does not support it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.distributed import ProcessGroup

from adpkv.errors import NotProvidedError
from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.failure import Failure, What
from adpkv.rank_programs.members import Group, Rank
from adpkv.rank_programs.operations import Collective, Operation
from adpkv.rank_programs.torch_ranks import reductions
from adpkv.rank_programs.torch_ranks.described import listed, reduction, shape, text_of
from adpkv.rank_programs.torch_ranks.messages import Messages, Received, Sent
from adpkv.rank_programs.torch_ranks.work import RankWork, Together

__all__ = ["RankGroup"]


class RankGroup(ProcessGroup):  # type: ignore[misc]
    """One rank's end of a group."""

    def __init__(
        self, driver: Driver, rank: Rank, group: Group, messages: Messages, name: str
    ) -> None:
        number = group.ranks.index(rank.number)
        super().__init__(number, len(group.ranks))
        self._driver, self._own, self._group = driver, rank, group
        self._messages = messages
        self._number, self._name = number, name
        self._coalescing: list[RankWork] | None = None
        self.shown_backend = "gloo"

    # -- who it is ---------------------------------------------------------------------------

    def rank(self) -> int:
        """This member's number."""
        return self._number

    def size(self) -> int:
        """How many members there are."""
        return len(self._group.ranks)

    getRank, getSize = rank, size  # noqa: N815

    @property
    def group_name(self) -> str:
        """The name under which c10d knows the group."""
        return self._name

    @property
    def pg_name(self) -> str:
        """The same."""
        return self._name

    @property
    def group_desc(self) -> str:
        """What the program says the group is for."""
        return self._group.name

    @property
    def bound_device_id(self) -> None:
        """Tensors are on the CPU."""

    @property
    def _device_types(self) -> list[Any]:
        return [torch.device("cpu")]

    def getBackendName(self) -> str:  # noqa: N802
        """For C++, which takes a group named gloo for its own."""
        return "adpkv"

    def name(self) -> str:
        """The backend that the program asked for."""
        return self.shown_backend

    def adpkv_label(self) -> str:
        """In a report."""
        return self._group.name

    def __repr__(self) -> str:
        return f"<{self._group.name}, member {self._number} of {self.size()}>"

    # -- how an operation is made --------------------------------------------------------------

    def _meet(
        self,
        kind: str,
        key: tuple[Any, ...],
        text: str,
        payload: tuple[Sequence[Any], Sequence[Any]],
        combine: Callable[..., None],
        *values: Any,
    ) -> RankWork:
        def complete(collective: Collective, arrivals: Sequence[Any]) -> None:
            grad = torch.is_grad_enabled()
            torch._C._set_grad_enabled(False)  # a fifth of what `torch.no_grad` takes
            try:
                combine([arrival.payload for arrival in arrivals], *values)
            finally:
                torch._C._set_grad_enabled(grad)

        driver, rank = self._driver, self._own
        here = driver.rank_here()
        if here is not rank:
            who = "no rank" if here is None else f"rank {here.number}"
            raise RuntimeError(
                f"{who} uses the process group of rank {rank.number}: a library has kept it in a"
                " module, which ranks share"
            )
        driver.pause(rank)
        operation = Operation(kind, key, text)
        found = driver.arrive(rank, self._group, operation, payload, complete)
        return self._work(found, kind, payload[0])

    def _work(self, on: Any, kind: str, tensors: Any) -> RankWork:
        rank = self._own
        work = RankWork(self._driver, rank, on, kind, tensors, rank.history[-1], self._group)
        if self._coalescing is not None:
            self._coalescing.append(work)
        return work

    def _start_coalescing(self, device: Any) -> None:
        self._coalescing = []

    def _end_coalescing(self, device: Any = None) -> Any:
        works, self._coalescing = self._coalescing or [], None
        return Together(works) if works else None

    # -- collectives ---------------------------------------------------------------------------

    def allreduce(self, tensors: Any, opts: Any = None, timeout: Any = None) -> RankWork:
        """Sum, or another reduction, of all members."""
        found, op = listed(tensors), reduction(opts or torch.distributed.ReduceOp.SUM)
        key = (op, *map(shape, found))
        payload = (found, found)
        text = f"{text_of(found)}, {op}"
        return self._meet("all_reduce", key, text, payload, reductions.all_reduce, op)

    allreduce_coalesced = allreduce

    def broadcast(self, tensors: Any, opts: Any = None, timeout: Any = None) -> RankWork:
        """From the root to all."""
        found = listed(tensors)
        root = opts if isinstance(opts, int) else opts.rootRank
        key = (root, *map(shape, found))
        text = f"{text_of(found)}, root {self._global(root)}"
        return self._meet("broadcast", key, text, (found, found), reductions.broadcast, root)

    def reduce(self, tensors: Any, opts: Any = None, op: Any = None, *_: Any) -> RankWork:
        """From all to the root."""
        found = listed(tensors)
        root = opts if isinstance(opts, int) else opts.rootRank
        name = reduction(op or opts) if not isinstance(opts, int) or op else "SUM"
        key = (root, name, *map(shape, found))
        text = f"{text_of(found)}, {name}, root {self._global(root)}"
        return self._meet("reduce", key, text, (found, found), reductions.reduce, name, root)

    def allgather(self, outputs: Any, inputs: Any, opts: Any = None) -> RankWork:
        """Everybody's tensor to everybody."""
        given = listed(inputs)
        into = list(outputs[0]) if isinstance(outputs[0], list | tuple) else list(outputs)
        self._one_each(into, "all_gather")
        key = (shape(given[0]),)
        payload = (into, given)
        return self._meet("all_gather", key, text_of(given), payload, reductions.all_gather)

    def all_gather_single(self, output: Any, given: Any, opts: Any = None) -> RankWork:
        """The same into one tensor."""
        into = list(output.view(-1).chunk(self.size())) if output.numel() else []
        into = into or [output] * self.size()
        key, payload = (shape(given),), (into, [given])
        if output.numel() != given.numel() * self.size():
            raise ValueError("all_gather_into_tensor: the output has not size times the input")
        return self._meet("all_gather", key, text_of([given]), payload, reductions.all_gather)

    _allgather_base = all_gather_single

    def allgather_coalesced(self, outputs: Any, inputs: Any, opts: Any = None) -> Any:
        """Several at once: `outputs[member][tensor]`."""
        return self._together(
            [
                self.allgather([[row[place] for row in outputs]], [given], opts)
                for place, given in enumerate(inputs)
            ]
        )

    def all_gather_single_coalesced(self, outputs: Any, inputs: Any, opts: Any = None) -> Any:
        """Several into one tensor each."""
        pairs = zip(outputs, inputs, strict=True)
        return self._together([self.all_gather_single(into, given) for into, given in pairs])

    allgather_into_tensor_coalesced = all_gather_single_coalesced

    def gather(self, outputs: Any, inputs: Any, opts: Any = None, *_: Any) -> RankWork:
        """Everybody's tensor to the root."""
        given = listed(inputs)
        root = opts if isinstance(opts, int) else opts.rootRank
        into = list(outputs[0]) if outputs and self._number == root else []
        if self._number == root:
            self._one_each(into, "gather")
        key, text = (root, shape(given[0])), f"{text_of(given)}, root {self._global(root)}"
        return self._meet("gather", key, text, (into, given), reductions.gather, root)

    def scatter(self, outputs: Any, inputs: Any, opts: Any = None, *_: Any) -> RankWork:
        """A tensor for each from the root."""
        into = listed(outputs)
        root = opts if isinstance(opts, int) else opts.rootRank
        given = []
        if self._number == root:
            given = list(inputs[0]) if isinstance(inputs[0], list | tuple) else list(inputs)
            self._one_each(given, "scatter")
        key, text = (root, shape(into[0])), f"{text_of(into)}, root {self._global(root)}"
        return self._meet("scatter", key, text, (into, given), reductions.scatter, root)

    def reduce_scatter(self, outputs: Any, inputs: Any, opts: Any = None, *_: Any) -> RankWork:
        """The reduction of one part for each."""
        into = listed(outputs)
        given = list(inputs[0]) if isinstance(inputs[0], list | tuple) else list(inputs)
        self._one_each(given, "reduce_scatter")
        op = reduction(opts or torch.distributed.ReduceOp.SUM)
        key, payload = (op, *map(shape, given)), (into, given)
        text = f"{text_of(into)}, {op}"
        return self._meet("reduce_scatter", key, text, payload, reductions.reduce_scatter, op)

    def reduce_scatter_single(self, output: Any, given: Any, opts: Any = None) -> RankWork:
        """The same out of one tensor."""
        if given.numel() != output.numel() * self.size():
            raise ValueError("reduce_scatter_tensor: the input has not size times the output")
        parts = list(given.reshape(-1).chunk(self.size())) if given.numel() else []
        return self.reduce_scatter([output], [parts or [given] * self.size()], opts)

    _reduce_scatter_base = reduce_scatter_single

    def reduce_scatter_single_coalesced(self, outputs: Any, inputs: Any, opts: Any = None) -> Any:
        """Several out of one tensor each."""
        pairs = zip(outputs, inputs, strict=True)
        return self._together(
            [self.reduce_scatter_single(into, given, opts) for into, given in pairs]
        )

    reduce_scatter_tensor_coalesced = reduce_scatter_single_coalesced

    def alltoall(self, outputs: Any, inputs: Any, opts: Any = None) -> RankWork:
        """A tensor from each to each."""
        into, given = list(outputs), list(inputs)
        self._one_each(into, "all_to_all")
        self._one_each(given, "all_to_all")
        key, payload = (given[0].dtype,), (into, given)
        return self._meet("all_to_all", key, text_of(given), payload, reductions.all_to_all)

    def all_to_all_single(
        self, output: Any, given: Any, to_splits: Any = None, splits: Any = None, opts: Any = None
    ) -> RankWork:
        """The same in one tensor, in equal parts or in those of the splits."""
        into, parts = self._split(output, to_splits), self._split(given, splits)
        key, text = (given.dtype,), f"{text_of([given])} to {text_of([output])}"
        return self._meet("all_to_all", key, text, (into, parts), reductions.all_to_all)

    alltoall_base = all_to_all_single

    def _split(self, tensor: Any, splits: Any) -> list[Any]:
        if splits:
            return list(tensor.split(list(splits)))
        if tensor.dim() and tensor.size(0) % self.size():
            raise ValueError(f"{tensor.size(0)} rows cannot be split over {self.size()} ranks")
        return list(tensor.split(max(tensor.size(0) // self.size(), 1))) or [tensor] * self.size()

    def barrier(self, opts: Any = None, *_: Any) -> RankWork:
        """All come."""
        return self._meet("barrier", (), "", ((), ()), lambda members: None)

    def monitored_barrier(self, timeout: Any = None, wait_all_ranks: bool = False) -> None:
        """All come, or an error names who did not in time."""
        work = self._meet("monitored_barrier", (), "", ((), ()), lambda members: None)
        work.wait()

    # -- messages ------------------------------------------------------------------------------

    def send(self, tensors: Any, dst: int, tag: int = 0) -> RankWork:
        """To one member."""
        found = listed(tensors)
        self._driver.pause(self._own)
        sent = self._messages.send(self, found, dst, tag, text_of(found))
        return self._message(sent, f"send to rank {self._global(dst)}", found, sent.tag)

    def recv(self, tensors: Any, src: int, tag: int = 0) -> RankWork:
        """From one member."""
        found = listed(tensors)
        self._driver.pause(self._own)
        received = self._messages.receive(self, found, src, tag)
        told = f"recv from rank {self._global(src)}"
        return self._message(received, told, found, received.tag)

    def recv_anysource(self, tensors: Any, tag: int = 0) -> RankWork:
        """From whoever sends."""
        found = listed(tensors)
        self._driver.pause(self._own)
        received = self._messages.receive(self, found, None, tag)
        return self._message(received, "recv from any rank", found, received.tag)

    def _message(self, on: Sent | Received, what: str, tensors: Any, tag: int) -> RankWork:
        what += f", tag {tag}" if tag else ""
        work = RankWork(self._driver, self._own, on, what, tensors, on.arrival, self._group)
        if isinstance(on, Sent) and self.shown_backend == "nccl":
            work._waited()  # its stream keeps the order, and the tensor
        if self._coalescing is not None:
            self._coalescing.append(work)
        return work

    def mismatched(self, told: str) -> None:
        """End the schedule: two ends of a message do not fit."""
        failure = Failure(What.MISMATCH, self._own.number, self._group.number, 0, told)
        self._driver.fail(self._own, failure)

    # -- what is not provided: c10d's own would look for backends in C++, and not find them ------

    def split_group(self, *_: Any, **__: Any) -> Any:
        """A group made of this one by its backend."""
        raise NotProvidedError("adpkv check does not provide ProcessGroup.split_group")

    def merge_remote_group(self, *_: Any, **__: Any) -> Any:
        """A group of this one and another one."""
        raise NotProvidedError("adpkv check does not provide ProcessGroup.merge_remote_group")

    def _register_on_completion_hook(self, hook: Any) -> None:
        raise NotProvidedError("adpkv check does not provide hooks of a ProcessGroup")

    def __getattr__(self, name: str) -> Any:
        raise NotProvidedError.of_name(f"ProcessGroup.{name}")

    # -- the rest ------------------------------------------------------------------------------

    def _one_each(self, tensors: Sequence[Any], kind: str) -> None:
        if len(tensors) != self.size():
            raise ValueError(f"{kind}: {len(tensors)} tensors for {self.size()} ranks")

    def _together(self, works: list[RankWork]) -> Any:
        return works[0] if len(works) == 1 else Together(works)

    def _global(self, number: int) -> int:
        return self._group.ranks[number] if 0 <= number < self.size() else number

    def shutdown(self) -> None:
        """Nothing to free."""

    abort = shutdown

    def _set_sequence_number_for_group(self) -> None:
        """Positions are counted by the world."""

    def _get_sequence_number_for_group(self) -> int:
        return self._own.counts.get(self._group.number, 0)
