"""One program under many schedules: what is set up once, and how one schedule is performed."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adpkv.counting import counted
from adpkv.errors import LeavesTheModelError, TargetError
from adpkv.rank_programs.adapter import Adapter
from adpkv.rank_programs.choices import Strategy
from adpkv.rank_programs.coroutines import Coroutines
from adpkv.rank_programs.driver import MOST_SECONDS, Around, Driver
from adpkv.rank_programs.evidence import place_of
from adpkv.rank_programs.failure import Failure, Stop, What
from adpkv.rank_programs.forgotten import FORGOTTEN, ForgottenAwaits
from adpkv.rank_programs.letters import letters_of
from adpkv.rank_programs.libraries import adapter_for
from adpkv.rank_programs.members import Rank
from adpkv.rank_programs.modules import ProgramModules
from adpkv.rank_programs.operations import Arrival
from adpkv.rank_programs.own_world import OwnWorld
from adpkv.rank_programs.process_state import ProcessState
from adpkv.rank_programs.program_files import ProgramFiles
from adpkv.rank_programs.refusals import Refusals
from adpkv.rank_programs.sites import operation_text, where
from adpkv.rank_programs.spawning import Spawning
from adpkv.rank_programs.target import Target, arguments_of
from adpkv.rank_programs.threads import Threads
from adpkv.rank_programs.variables import line_of
from adpkv.rank_programs.world import World

__all__ = ["MOST_RANKS", "Session", "Settings"]

MOST_RANKS = 256
"""Ranks of one check."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a program is checked, beside which schedules."""

    ranks: int
    library: str = ""
    """`torch` or `mpi`; empty: what the program imports."""
    arguments: Sequence[str] = ()
    seed: int = 0
    """Of the ranks' own generators."""
    allowed: frozenset[str] = frozenset()
    shared: tuple[str, ...] = ()
    """Top-level modules of the program that all ranks share."""
    most_seconds: float = MOST_SECONDS
    kills: int = 0
    """How many ranks may die in a schedule."""
    must_handle: bool = False
    """A rank that ends with its library's error about one that was killed has failed."""


class Session:
    """A context in which schedules of one program are performed."""

    allow_option = "--allow {word}"
    """How a person allows what is refused."""

    def __init__(
        self, target: Target, settings: Settings, show: Callable[[str], None] | None = None
    ) -> None:
        self.target, self.settings = target, settings
        self.files = ProgramFiles(target.roots, settings.shared)
        seconds = settings.most_seconds
        self.driver: Driver = (
            Coroutines(seconds) if target.is_async else Threads(settings.ranks, seconds)
        )
        self.show = show
        self.performed = 0
        """How many schedules it has begun."""
        self._modules = ProgramModules(settings.ranks, self.files)
        self._spawning = Spawning(self.driver, settings.ranks, self.files)
        self._stack = contextlib.ExitStack()
        self._adapter: Adapter
        self._state: ProcessState
        self._own: OwnWorld

    def __enter__(self) -> Session:
        stack, settings, target = self._stack, self.settings, self.target
        with contextlib.ExitStack() as begun:
            begun.callback(self.driver.close)
            self._adapter = begun.enter_context(self._make_adapter())
            begun.enter_context(self._modules)
            first = target.path or target.text
            self._state = begun.enter_context(
                ProcessState(
                    settings.ranks,
                    self._modules,
                    [first, *settings.arguments],
                    [self._adapter],
                    self._shown,
                )
            )
            self._own = begun.enter_context(OwnWorld(self.driver))
            begun.enter_context(self._spawning)
            if target.is_async:
                begun.enter_context(ForgottenAwaits(self.driver, self.files))
            begun.enter_context(Refusals(self.driver, settings.allowed, self.allow_option))
            begun.callback(sys.path.remove, target.folder)
            sys.path.insert(0, target.folder)
            stack.push(begun.pop_all())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _make_adapter(self) -> Adapter:
        settings = self.settings
        return adapter_for(self.target, settings.library, self.driver, settings.ranks)

    def _load_function(self, modules: ProgramModules) -> Callable[..., Any] | None:
        return self.target.load(modules)

    def _shown(self, line: str) -> None:
        if self.show is not None:
            self.show(line)

    def perform(
        self,
        strategy: Strategy,
        look: Callable[[World], None] | None = None,
        prepare: Callable[[World], None] | None = None,
        around: Around | None = None,
    ) -> World:
        """One schedule. `look` sees a failed world while its ranks stand where they are; `prepare`
        sees it before it begins, and `around` calls each rank's program."""
        self.performed += 1
        settings = self.settings
        world = World(
            settings.ranks, strategy, self.files, settings.kills, strict=settings.must_handle
        )
        self._state.begin(settings.seed)
        self._own.begin(world, self._state.randoms)
        self._adapter.begin(world)
        self._spawning.begin()
        if prepare is not None:
            prepare(world)
        program = self._coroutine if self.target.is_async else self._run
        self.driver.run(world, program, self._state, look or _nothing, around)
        for rank in world.ranks:
            if isinstance(rank.error, TargetError):
                raise rank.error
        self._spawning.check()
        if world.failure is None and not world.killed:
            world.failure = _left(world, settings.allowed)
            if world.failure is not None and look is not None:
                look(world)
        world.mailboxes.clear()  # they know the world too: no cycle is left to collect
        return world

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Nothing of what ranks print is shown: of a schedule that is made again to explain it,
        all has been shown."""
        show, self.show = self.show, None
        try:
            yield
        finally:
            self.show = show

    def of(self, ranks: int) -> Session:
        """Another one of the same program, with another number of ranks."""
        return Session(self.target, replace(self.settings, ranks=ranks))

    @property
    def outputs(self) -> list[list[str]]:
        """The last lines that each rank has written in the last schedule."""
        return [output.lines for output in self._state.outputs]

    def replay_line(self, token: str, ranks: int = 0) -> str:
        """The command that makes a schedule of this program again; of so many ranks, if that is
        given."""
        settings = self.settings
        words = ["adpkv", "check", self.target.text, "-n", str(ranks or settings.ranks)]
        if settings.library:
            words.append(f"--{settings.library}")
        if settings.seed:
            words += ["--seed", str(settings.seed)]
        for word in sorted(settings.allowed):
            words += ["--allow", word]
        for name in settings.shared:
            words += ["--shared", name]
        if settings.kills:
            words += ["--kill"] if settings.kills == 1 else ["--kills", str(settings.kills)]
        if settings.must_handle:
            words.append("--must-handle")
        words += ["--replay", token]
        if settings.arguments:
            words += ["--", *settings.arguments]
        return shlex.join(words)

    # -- one rank ------------------------------------------------------------------------------

    def _run(self, rank: Rank) -> None:
        known = {
            "rank": rank.number,
            "local_rank": rank.number,
            "world_size": self.settings.ranks,
            "size": self.settings.ranks,
        }
        try:
            known = {**known, **self._adapter.enter_rank(rank)}
            function = self._load()
            if function is not None:
                function(*arguments_of(function, known))
        except SystemExit as end:
            if end.code not in (None, 0):
                raise
        finally:
            self._adapter.leave_rank(rank)

    def _coroutine(self, rank: Rank) -> Any:
        known = {"world_size": self.settings.ranks, "size": self.settings.ranks}
        function = self._load()
        assert function is not None, "a coroutine is a function"
        return function(*arguments_of(function, {**self._adapter.enter_rank(rank), **known}))

    def _load(self) -> Callable[..., Any] | None:
        if self.target.is_script:
            return self._load_function(self._modules)
        try:
            return self._load_function(self._modules)
        except (TargetError, LeavesTheModelError, Stop, SystemExit):
            raise
        except Exception as error:
            raise TargetError(_raised_at_import(self.target, self.files, error)) from None


def _raised_at_import(target: Target, files: ProgramFiles, error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in files]
    where = f"{os.path.relpath(own[-1].filename)}:{own[-1].lineno}: " if own else ""
    return f"{where}{type(error).__name__} while {target.text} was imported: {error}"


def _left(world: World, allowed: frozenset[str]) -> Failure | None:
    """What is not finished, although all programs have returned."""
    letters = [] if "unreceived" in allowed else letters_of(world.mailboxes)
    if letters:
        told = f"{counted(len(letters), 'message')} left"
        return Failure(What.UNRECEIVED, letters[0].sender, message=told)
    return None if "unwaited" in allowed else _unwaited(world)


def _unwaited(world: World) -> Failure | None:
    for rank in world.ranks:
        for arrival in rank.unwaited.values():
            told = _never_waited(arrival)
            return Failure(What.UNWAITED, rank.number, -1, arrival.position, told)
    return None


def _never_waited(arrival: Arrival) -> str:
    """What a rank has done, as the end of a sentence."""
    place = place_of(arrival)
    source = line_of(place.file, place.line)
    its = f"its {operation_text(place)} at {where(place)}" + (f" ({source})" if source else "")
    if arrival.operation.key == FORGOTTEN:
        return f"never awaited {its}: nothing was done"
    what = "what it sends may have changed before it is sent"
    if "send" not in place.kind.lower():
        what = "what it reads may not be there yet"
    return f"never waited for {its}, and its program has returned: {what}"


def _nothing(world: World) -> None:
    pass
