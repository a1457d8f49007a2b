"""Follows one schedule line by line, to find where its ranks took different ways.

Each execution of a line of the program has a *step*, which two ranks share exactly if they came
there in the same way: from the same step of the calling function, in the same pass of the loops
around the line. So a rank that skipped a pass meets the others on the same line with other steps.
Only the program's own lines are followed, and only in a replay: it costs time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Final

from adpkv.rank_programs.loops import Loops
from adpkv.rank_programs.members import Group, Rank
from adpkv.rank_programs.operations import Arrival
from adpkv.rank_programs.program_files import ProgramFiles
from adpkv.rank_programs.world import World

__all__ = ["MOST_STEPS", "Path", "Step", "Trace"]

MOST_STEPS: Final = 2_000_000
"""Lines that are followed on one rank; beyond them, nothing more is known of its way."""


class Step:
    """One execution of a line; equal steps are the same object."""

    __slots__ = ("code", "line", "within")

    def __init__(self, code: CodeType, line: int, within: Step | None) -> None:
        self.code, self.line = code, line
        self.within = within
        """The step of the calling function."""


class Path:
    """The way of one rank through the program."""

    __slots__ = ("arrivals", "steps", "values")

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.arrivals: list[tuple[Arrival, int, Step | None]] = []
        """Each with its place in `steps`, and the step that made the call."""
        self.values: dict[str, str] = {}
        """The local variables at the step that is watched."""


class _Frame:
    """A call that is followed."""

    __slots__ = ("calls", "identity", "parent", "passes", "seen", "step")

    def __init__(self, identity: object, parent: Step | None) -> None:
        self.identity, self.parent = identity, parent
        self.passes: dict[int, int] = {}
        """By the first line of a loop: which pass it is in."""
        self.seen: dict[tuple[int, tuple[int, ...]], int] = {}
        self.calls: dict[tuple[Step | None, CodeType], int] = {}
        self.step: Step | None = None


class Trace:
    """Follows all ranks of one schedule; `watched` is the step at which to read their variables
    with `read`. Steps of a former trace of the same schedule are the same objects."""

    def __init__(
        self,
        files: ProgramFiles,
        former: Trace | None = None,
        watched: Step | None = None,
        read: Callable[[FrameType], dict[str, str]] | None = None,
    ) -> None:
        self.paths: dict[int, Path] = {}
        self._files, self._watched, self._read = files, watched, read
        self._steps: dict[tuple[Any, ...], Step] = {} if former is None else former._steps
        self._frames: dict[FrameType, _Frame] = {}
        self._loops: dict[str, Loops] = {}

    def prepare(self, world: World) -> None:
        """Before the schedule begins."""
        self.paths = {rank.number: Path() for rank in world.ranks}
        world.on_arrival = self._arrived

    def around(self, rank: Rank, program: Callable[[], Any]) -> Any:
        """Perform a piece of the rank's program under tracing, in its thread."""
        path = self.paths[rank.number]
        before = sys.gettrace()
        sys.settrace(lambda frame, event, argument: self._called(path, frame, event))
        try:
            return program()
        finally:
            sys.settrace(before)

    def forget_frames(self) -> None:
        """Let the program's objects go."""
        self._frames.clear()

    def _called(self, path: Path, frame: FrameType, event: str) -> Any:
        code = frame.f_code
        if event != "call" or code.co_filename not in self._files:
            return None
        if code.co_name[0] == "<" and code.co_name != "<module>":
            return None  # a comprehension belongs to the line that it stands in
        found = self._frames.get(frame)
        if found is None:
            found = self._frames[frame] = self._new_frame(frame)
        return lambda inner, what, argument: self._line(path, found, inner, what)

    def _new_frame(self, frame: FrameType) -> _Frame:
        caller = frame.f_back
        while caller is not None and caller not in self._frames:
            caller = caller.f_back
        if caller is None:
            return _Frame((None, frame.f_code, 0), None)
        parent = self._frames[caller]
        key = (parent.step, frame.f_code)
        number = parent.calls[key] = parent.calls.get(key, 0) + 1
        return _Frame((parent.step, frame.f_code, number), parent.step)

    def _line(self, path: Path, found: _Frame, frame: FrameType, event: str) -> Any:
        if event == "line" and len(path.steps) < MOST_STEPS:
            line = frame.f_lineno
            key = self._key(found, frame.f_code.co_filename, line)
            step = self._steps.get(key)
            if step is None:
                step = self._steps[key] = Step(frame.f_code, line, found.parent)
            found.step = step
            path.steps.append(step)
            if step is self._watched and self._read is not None:
                path.values = self._read(frame)
        return lambda inner, what, argument: self._line(path, found, inner, what)

    def _key(self, found: _Frame, file: str, line: int) -> tuple[Any, ...]:
        loops = self._loops.get(file)
        if loops is None:
            loops = self._loops[file] = Loops(file)
        passes = found.passes
        if line in loops.within:
            passes[line] = passes.get(line, 0) + 1
            for inner in loops.within[line]:
                passes.pop(inner, None)
        there = (line, tuple(passes.get(loop, 0) for loop in loops.around(line)))
        number = found.seen[there] = found.seen.get(there, 0) + 1
        return found.identity, there, number

    def _arrived(self, rank: Rank, arrival: Arrival, group: Group) -> None:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame not in self._frames:
            frame = frame.f_back
        step = None if frame is None else self._frames[frame].step
        path = self.paths[rank.number]
        path.arrivals.append((arrival, len(path.steps), step))
