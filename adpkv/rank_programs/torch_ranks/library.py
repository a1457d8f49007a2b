"""torch.distributed as it is, but for what would reach the network: where ranks find each other,
where process groups are made, and the record of them, which each rank has of its own.

c10d keeps that record in one object of the process. Its class is replaced by one that looks whose
turn it is. The registry below functional collectives is C++, and per thread in torch's own
thread-isolation mode.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import distributed_c10d as c10d

from adpkv.counting import counted
from adpkv.errors import NotProvidedError, TargetError
from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.failure import lost
from adpkv.rank_programs.members import Rank
from adpkv.rank_programs.operations import Arrival, Collective, Operation
from adpkv.rank_programs.torch_ranks.cuda import CudaAsCpu
from adpkv.rank_programs.torch_ranks.messages import Messages
from adpkv.rank_programs.torch_ranks.peers import GLOO_SECONDS, NCCL_SECONDS
from adpkv.rank_programs.torch_ranks.process_group import RankGroup
from adpkv.rank_programs.torch_ranks.store import RankStore, StoreData
from adpkv.rank_programs.world import World

__all__ = ["OLDEST", "TorchRanks"]

OLDEST = (2, 4)
"""The oldest version of torch whose c10d has what is replaced here."""

_FIELDS = {
    "pg_map": dict,
    "pg_names": dict,
    "pg_group_ranks": dict,
    "pg_backend_config": dict,
    "tags_to_pg": dict,
    "pg_to_tag": dict,
    "pg_coalesce_state": dict,
    "comms": list,
}


def _fresh() -> dict[str, Any]:
    return {name: kind() for name, kind in _FIELDS.items()} | {"default_pg": None, "group_count": 0}


def _of_rank(name: str) -> property:
    def get(self: Any) -> Any:
        return self.adpkv_records[name]

    def put(self: Any, value: Any) -> None:
        self.adpkv_records[name] = value

    return property(get, put)


def _prefixed(real: Any) -> Any:
    """torch's own is C++, and calls of a store of ours what that has not."""

    def make(prefix: str, store: Any) -> Any:
        return store.prefixed(prefix) if isinstance(store, RankStore) else real(prefix, store)

    return make


class _RankWorld(c10d._World):  # type: ignore[misc]
    """c10d's record of process groups: that of the rank that runs."""

    adpkv_records: dict[str, Any]


for _name in (*_FIELDS, "default_pg", "group_count"):
    setattr(_RankWorld, _name, _of_rank(_name))


def _seconds(backend: str, timeout: Any) -> float:
    """How long a group's members wait for one that is gone."""
    seconds = float(NCCL_SECONDS if backend == "nccl" else GLOO_SECONDS)
    given = seconds if timeout is None else float(timeout.total_seconds())
    # A torch without NCCL takes Gloo's default for it.
    return seconds if given == GLOO_SECONDS else given


def _numbers(collective: Collective, arrivals: Sequence[Arrival]) -> None:
    collective.values = {arrival.rank: arrival.payload for arrival in arrivals}


class TorchRanks:
    """torch.distributed over the ranks of a schedule; an `Adapter`."""

    def __init__(self, driver: Driver, ranks: int, *, cuda: bool) -> None:
        version = tuple(int(part) for part in torch.__version__.split(".")[:2])
        if version < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise TargetError(f"torch {torch.__version__} is too old: {oldest} or newer is needed")
        self._driver = driver
        self._world: World | None = None
        self._messages: Messages | None = None
        self._stores: dict[str, StoreData] = {}
        self._records: list[dict[str, Any]] = []
        self._generators: list[Any] = []
        self._process: tuple[Any, Any] = (None, None)
        self._undo = contextlib.ExitStack()
        self._cuda = CudaAsCpu(ranks) if cuda and not torch.cuda.is_available() else None

    def __enter__(self) -> TorchRanks:
        # Its functions have the default group of whoever imports it as a default argument.
        importlib.import_module("torch.distributed.nn.functional")
        record: Any = c10d._world
        self._undo.callback(setattr, record, "__class__", type(record))
        self._process = (_fresh(), torch.default_generator.get_state())
        record.__class__ = _RankWorld
        record.adpkv_records = self._process[0]
        torch._C._distributed_c10d._set_thread_isolation_mode(True)
        self._undo.callback(torch._C._distributed_c10d._set_thread_isolation_mode, False)
        self._replace(c10d, "rendezvous", self._rendezvous)
        self._replace(c10d, "_new_process_group_helper", self._new_group)
        for module in (dist, c10d):
            for name in ("TCPStore", "HashStore", "FileStore"):
                if hasattr(module, name):
                    self._replace(module, name, self._store_maker(name))
            self._replace(module, "PrefixStore", _prefixed(module.PrefixStore))
        if self._cuda is not None:
            self._undo.enter_context(self._cuda)
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def _replace(self, module: Any, name: str, by: Any) -> None:
        self._undo.callback(setattr, module, name, getattr(module, name))
        setattr(module, name, by)

    # -- Adapter -----------------------------------------------------------------------------

    def begin(self, world: World) -> None:
        """A schedule begins: no groups, no stores, each rank's generator as in a new process."""
        self._world, self._messages, self._stores = world, Messages(world), {}
        self._records = [_fresh() for _ in range(world.size)]
        self._generators = [None] * world.size

    def swap(self, old: int, new: int) -> None:
        """Exchange the record of groups, and the state of the default generator."""
        generator = torch.default_generator
        state = generator.get_state()
        if old >= 0:
            self._generators[old] = state
        else:
            self._process = (self._process[0], state)
        record: Any = c10d._world
        if new < 0:
            record.adpkv_records = self._process[0]
            generator.set_state(self._process[1])
            return
        record.adpkv_records = self._records[new]
        state = self._generators[new]
        if state is None:
            # What a new process has is drawn; here it is the same in each schedule.
            generator.manual_seed(67280421310721 + new)
        else:
            generator.set_state(state)

    def enter_rank(self, rank: Rank) -> Mapping[str, Any]:
        """Backward passes stay in the rank's own thread."""
        torch.autograd.set_multithreading_enabled(False)
        if self._cuda is not None:
            self._cuda.enter_thread()
        return {}

    def leave_rank(self, rank: Rank) -> None:
        """The thread is used again: its registry must be empty."""
        torch._C._distributed_c10d._unregister_all_process_groups()
        if self._cuda is not None:
            self._cuda.leave_thread()

    # -- what is replaced ----------------------------------------------------------------------

    def _here(self) -> tuple[World, Rank, Messages]:
        rank = self._driver.rank_here()
        if rank is None or self._world is None or self._messages is None:
            raise RuntimeError("process groups are made by ranks alone while a check runs")
        return self._world, rank, self._messages

    def _store(self, key: str) -> RankStore:
        world, _, _ = self._here()
        data = self._stores.get(key)
        if data is None:
            data = self._stores[key] = StoreData(world)
        return RankStore(self._driver, data)

    def _store_maker(self, kind: str) -> Any:
        def make(*arguments: Any, **named: Any) -> RankStore:
            world, _, _ = self._here()
            if kind == "HashStore":
                return RankStore(self._driver, StoreData(world))  # one process's own
            where = [str(a) for a in arguments[: 2 if kind == "TCPStore" else 1]]
            where += [str(named[n]) for n in ("host_name", "port", "file_name") if n in named]
            return self._store(f"{kind} {' '.join(where)}")

        return make

    def _rendezvous(
        self, url: str, rank: int = -1, world_size: int = -1, **more: Any
    ) -> Iterator[tuple[RankStore, int, int]]:
        world, here, _ = self._here()
        number = here.number if rank < 0 else rank
        if world.gone and world_size not in (-1, world.size):
            yield self._store(f"env of {world_size}"), rank, world_size
            return
        if rank >= 0 and rank != here.number:
            raise TargetError(
                f"rank {here.number} calls init_process_group with rank={rank}: take RANK from the"
                " environment"
            )
        if world_size not in (-1, world.size):
            raise TargetError(
                f"the program makes a world of {counted(world_size, 'rank')}; this check has"
                f" {world.size}: -n {world_size}"
            )
        yield self._store("env"), number, world.size if world_size < 0 else world_size

    def _new_group(
        self,
        group_size: int,
        group_rank: int,
        global_ranks_in_group: list[int],
        backend: Any,
        store: Any,
        group_name: str,
        *positional: Any,
        **named: Any,
    ) -> tuple[Any, Any]:
        """In place of c10d's function of this name: one rank's end of a new group."""
        world, rank, messages = self._here()
        record: Any = c10d._world
        tag = named.get("pg_tag")
        if tag not in (None, ""):
            existing = c10d._find_pg_by_ranks_and_tag(tag, global_ranks_in_group)
            if existing:
                return existing, record.pg_map[existing][1]
        if str(backend) == "mpi":
            raise NotProvidedError("adpkv check does not provide torch's backend mpi")
        ranks = global_ranks_in_group or list(range(world.size))
        if rank.number not in ranks:
            return c10d.GroupMember.NON_GROUP_MEMBER, None
        whole = not global_ranks_in_group
        label = "the default group" if whole else f"group {group_name}"
        shown = str(backend)
        if ":" in shown:
            shown = shown.split(",")[0].partition(":")[2]
        shown = "gloo" if shown == "undefined" else shown
        seconds = _seconds(shown, positional[1] if len(positional) > 1 else named.get("timeout"))
        if whole and group_size != world.size:
            ranks = self._left(world, group_size, group_rank, rank, seconds)
            label = f"the default group of {', '.join(map(str, ranks))}"
        elif whole:
            self._meet_first(rank, world, shown, ranks, seconds, rank.number)
        group = world.group(label, ranks)
        described = named.get("group_desc")
        if described not in (None, "", "default_pg") and group.name == label:
            group.name = f"{label} ({described})"
        group.timeout_ns = int(seconds * 1e9)
        group.patience_ns = group.timeout_ns if shown == "nccl" else 0
        end = RankGroup(self._driver, rank, group, messages, group_name)
        end.shown_backend = shown
        self._note(end, end.shown_backend, store, group_name, str(backend), tag)
        return end, store

    def _left(self, world: World, size: int, number: int, rank: Rank, seconds: float) -> list[int]:
        """The ranks that make a new default group, as others are gone, in the order of the numbers
        that they give themselves."""
        left = [r.number for r in world.ranks if r.number not in world.gone]
        if len(left) != size:
            told = f"a new world of {size} ranks is initialised, and {len(left)} are left"
            raise lost(RuntimeError(told), world.gone[-1])
        numbers = self._meet_first(rank, world, "gloo", left, seconds, number)
        if sorted(numbers.values()) != list(range(size)):
            raise ValueError(f"ranks {left} take the numbers {list(numbers.values())}")
        return sorted(left, key=lambda one: numbers[one])

    def _meet_first(
        self,
        rank: Rank,
        world: World,
        backend: str,
        ranks: Sequence[int],
        seconds: float,
        number: int,
    ) -> dict[int, int]:
        """Ranks wait for each other in `init_process_group`; not for ever, if one is gone. Their
        numbers in the new group, by rank."""
        driver = self._driver
        driver.pause(rank)
        group = world.group("the rendezvous", ranks)
        group.patience_ns = int(seconds * 1e9)
        operation = Operation("init_process_group", (backend,), backend)
        found = driver.arrive(rank, group, operation, number, _numbers)
        if not driver.wait(rank, found, "init_process_group"):
            driver.refuse(rank)
            gone = found.torn if found.done else found.missing(world)
            raise lost(
                dist.DistStoreError(
                    f"Timed out after {seconds:g} seconds waiting for clients."
                    f" {len(found.arrivals)}/{len(ranks)} clients joined."
                ),
                gone,
            )
        numbers: dict[int, int] = found.values
        return numbers

    def _note(
        self, end: RankGroup, backend: str, store: Any, name: str, config: str, tag: Any
    ) -> None:
        record: Any = c10d._world
        record.pg_map[end] = (backend, store)
        record.pg_names[end] = name
        record.pg_backend_config[end] = config
        c10d._register_process_group(name, end)
        if tag in (None, ""):
            record.tags_to_pg.setdefault("", []).append(end)
            tag = f"ptd:{name}"
        else:
            tag = f"user:{tag}"
        record.tags_to_pg.setdefault(tag, []).append(end)
        record.pg_to_tag[end] = tag
