"""The module `mpi4py.MPI` as a checked program sees it, and the injected object of an executor.

It stands in `sys.modules` while ranks run. mpi4py itself is not imported: it would begin MPI. What
is not provided is refused with its name (`NotProvidedError`); nothing is made up.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from adpkv.errors import NotProvidedError
from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.members import Rank
from adpkv.rank_programs.mpi_ranks.buffers import (
    DATATYPES,
    ERROR_CLASSES,
    IN_PLACE,
    Datatype,
    MpiError,
)
from adpkv.rank_programs.mpi_ranks.collectives import Intracomm, whole
from adpkv.rank_programs.mpi_ranks.communicator import (
    ERRORS_RETURN,
    PROC_NULL,
    Shared,
)
from adpkv.rank_programs.mpi_ranks.executor_object import ExecutorObject
from adpkv.rank_programs.mpi_ranks.group import UNDEFINED, GroupOfRanks
from adpkv.rank_programs.mpi_ranks.matched import NO_MESSAGE, MatchedMessage
from adpkv.rank_programs.mpi_ranks.messages import ANY
from adpkv.rank_programs.mpi_ranks.persistent import PersistentRequest
from adpkv.rank_programs.mpi_ranks.reductions import OPS, Op
from adpkv.rank_programs.mpi_ranks.requests import Request, Status
from adpkv.rank_programs.world import World

__all__ = ["MpiRanks"]

_NAMES = ("mpi4py", "mpi4py.MPI", "mpi4py.rc")


class _Missing(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__":  # asked for by Python itself, as by `import`
            raise AttributeError(name)
        raise NotProvidedError.of_name(f"{self.__name__}.{name}")


class _MissingParts(importlib.abc.MetaPathFinder):
    """mpi4py's other modules."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Refuse them while a check runs."""
        if name.startswith("mpi4py."):
            raise NotProvidedError.of_module(name)


_MISSING_PARTS = _MissingParts()


class MpiRanks:
    """mpi4py over the ranks of a schedule; an `Adapter`."""

    def __init__(self, driver: Driver, *, raising: bool = False) -> None:
        """`raising`: a rank that is gone is an error on the others, and not the end of the job,
        without their asking for it."""
        self._driver, self._raising = driver, raising
        self._shared: Shared | None = None
        self._before: dict[str, ModuleType | None] = {}
        self._modules = self._made()

    def _current(self) -> Shared:
        if self._shared is None:
            raise MpiError("communicators are used by ranks alone while a check runs")
        return self._shared

    def _made(self) -> dict[str, ModuleType]:
        package, mpi, rc = (_Missing(name) for name in _NAMES)
        package.__path__ = []
        rc.__dict__.update(initialize=True, finalize=None, threads=True, thread_level="multiple")
        driver = self._driver
        world = whole(self._current)
        values: dict[str, Any] = {
            **DATATYPES,
            **OPS,
            **ERROR_CLASSES,
            "COMM_WORLD": world,
            "COMM_NULL": None,
            "COMM_SELF": Intracomm(self._current, self._own_group),
            "Comm": Intracomm,
            "Intracomm": Intracomm,
            "Group": GroupOfRanks,
            "Request": Request,
            "Prequest": PersistentRequest,
            "Message": MatchedMessage,
            "MESSAGE_NULL": NO_MESSAGE,
            "MESSAGE_NO_PROC": NO_MESSAGE,
            "Status": Status,
            "Op": Op,
            "Datatype": Datatype,
            "Exception": MpiError,
            "REQUEST_NULL": Request.null(driver),
            "IN_PLACE": IN_PLACE,
            "ANY_SOURCE": ANY,
            "ANY_TAG": ANY,
            "PROC_NULL": PROC_NULL,
            "UNDEFINED": UNDEFINED,
            "COMM_TYPE_SHARED": 0,
            "GROUP_EMPTY": GroupOfRanks((), lambda: -1),
            "GROUP_NULL": None,
            "get_vendor": lambda: ("adpkv check", (0, 0, 0)),
            "TAG_UB": 2**31 - 1,
            "ERRORS_RETURN": ERRORS_RETURN,
            "ERRORS_ARE_FATAL": "ERRORS_ARE_FATAL",
            "THREAD_SINGLE": 0,
            "THREAD_FUNNELED": 1,
            "THREAD_SERIALIZED": 2,
            "THREAD_MULTIPLE": 3,
            "Init": lambda: None,
            "Init_thread": lambda required=3: 3,
            "Query_thread": lambda: 3,
            "BSEND_OVERHEAD": 0,
            "Attach_buffer": self._attach,
            "Detach_buffer": lambda: self._attach(None),
            "Finalize": self._finalize,
            "Is_initialized": lambda: True,
            "Is_finalized": self._is_finalized,
            "Get_processor_name": lambda: "localhost",
            "Get_version": lambda: (4, 1),
            "Get_library_version": lambda: "adpkv check",
            "Wtime": lambda: self._clock(),
            "Wtick": lambda: 1e-9,
        }
        mpi.__dict__.update(values)
        package.__dict__.update(MPI=mpi, rc=rc, __version__="4.1.0")
        return dict(zip(_NAMES, (package, mpi, rc), strict=True))

    def _clock(self) -> float:
        rank = self._driver.rank_here()
        if rank is not None:
            self._driver.tick(rank)
        return self._driver.now_ns() / 1e9

    def _attach(self, buffer: Any) -> Any:
        """Room for buffered sends, which need none here: the one that was attached before."""
        rank, attached = self._driver.rank_here(), self._current().attached
        number = -1 if rank is None else rank.number
        before = attached.pop(number, None)
        attached[number] = buffer
        return before

    def _finalize(self) -> None:
        """The rank calls nothing of MPI any more. What it has left open is found at its end."""
        rank = self._driver.rank_here()
        if rank is not None:
            self._current().finalized.add(rank.number)

    def _is_finalized(self) -> bool:
        rank = self._driver.rank_here()
        return rank is not None and rank.number in self._current().finalized

    def _own_group(self) -> Any:
        shared, rank = self._current(), self._driver.rank_here()
        assert rank is not None
        return shared.world.group("MPI.COMM_SELF", [rank.number])

    # -- Adapter -----------------------------------------------------------------------------

    def __enter__(self) -> MpiRanks:
        self._before = {name: sys.modules.get(name) for name in _NAMES}
        sys.modules.update(self._modules)
        sys.meta_path.insert(0, _MISSING_PARTS)
        return self

    def __exit__(self, *_: object) -> None:
        sys.meta_path.remove(_MISSING_PARTS)
        for name, module in self._before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module

    def begin(self, world: World) -> None:
        """A schedule begins."""
        self._shared = Shared(self._driver, world)
        if self._raising:
            members = range(world.size)
            world.group("MPI.COMM_WORLD", members).raising.update(members)

    def swap(self, old: int, new: int) -> None:
        """Ranks have nothing of their own here."""

    def enter_rank(self, rank: Rank) -> Mapping[str, Any]:
        """What a program may take: `comm`, and `dist`, the object that executors inject."""
        world = self._modules["mpi4py.MPI"].COMM_WORLD
        return {"comm": world, "dist": ExecutorObject(world, rank.number)}

    def leave_rank(self, rank: Rank) -> None:
        """Nothing to do."""
