"""What is known of the ranks of a failed schedule: plain values, taken while they stand still."""

from __future__ import annotations

import traceback

import msgspec

from adpkv.rank_programs.failure import Failure
from adpkv.rank_programs.letters import letters_of, sought_of
from adpkv.rank_programs.members import Rank
from adpkv.rank_programs.operations import Arrival, Collective, Site
from adpkv.rank_programs.program_files import OWN, ProgramFiles
from adpkv.rank_programs.world import World

__all__ = [
    "Evidence",
    "KilledView",
    "LetterView",
    "Place",
    "RankView",
    "SoughtView",
    "error_lines",
    "evidence_of",
    "place_of",
]

MOST_FRAMES = 12


class Place(msgspec.Struct, frozen=True):
    """One operation of one rank."""

    kind: str
    text: str
    file: str
    line: int
    function: str
    group: int = -1
    """-1 for a message, which belongs to no position."""
    position: int = 0


class RankView(msgspec.Struct, frozen=True):
    """One rank as the schedule failed."""

    rank: int
    state: str
    """`waits`, `runs`, `returned`, `raised`, `killed`, `aborted` or `not begun`."""
    waits_for: str = ""
    """What it waits for, in the program's words."""
    at: Place | None = None
    """The last operation that it made; the one that it waits in if it waits in a collective."""
    waits_at: tuple[int, int] | None = None
    """Group and position of the collective that it waits in."""
    stack: tuple[Site, ...] = ()
    """The program's frames, outermost first."""
    error: tuple[str, ...] = ()
    """The traceback of what it raised, without the frames of adpkv."""
    counts: dict[int, int] = {}
    """By group: to how many positions it has come."""
    output: tuple[str, ...] = ()


class KilledView(msgspec.Struct, frozen=True):
    """A rank that was killed."""

    rank: int
    at: Place
    """The operation to which it came."""
    within: bool
    """It had done its part."""
    clock_s: float


class LetterView(msgspec.Struct, frozen=True):
    """A message that nobody has received."""

    sender: int
    receiver: int
    tag: int
    group: int
    at: Place


class SoughtView(msgspec.Struct, frozen=True):
    """A receive that has nothing yet; `sender` and `tag` are None for any."""

    receiver: int
    sender: int | None
    tag: int | None
    group: int
    at: Place


class Evidence(msgspec.Struct, frozen=True):
    """A failed schedule."""

    failure: Failure
    ranks: tuple[RankView, ...]
    groups: tuple[tuple[str, tuple[int, ...]], ...]
    """By number: the name and the ranks."""
    open: dict[tuple[int, int], dict[int, Place]]
    """By group and position: who has come to a collective that is not complete."""
    clock_s: float
    killed: tuple[KilledView, ...] = ()
    switches: int = 0
    """How often the schedule goes from one rank to another."""
    letters: tuple[LetterView, ...] = ()
    sought: tuple[SoughtView, ...] = ()
    left_out: dict[tuple[int, int], tuple[int, ...]] = {}
    """By group and position: who would never have come, where that had to be found out
    (`released`)."""
    skipped: str = ""
    """Why, where a test's body skipped itself."""

    def name(self, group: int) -> str:
        """The name of a group."""
        return self.groups[group][0] if 0 <= group < len(self.groups) else "no group"


def place_of(arrival: Arrival) -> Place:
    """An operation as a value."""
    operation, site = arrival.operation, arrival.site
    return Place(
        operation.kind,
        operation.text,
        site.file,
        site.line,
        site.function,
        arrival.group,
        arrival.position,
    )


def evidence_of(world: World, files: ProgramFiles, outputs: list[list[str]]) -> Evidence:
    """Everything that a report needs of this world."""
    assert world.failure is not None
    found = {}
    for group in world.groups:
        # Copies: a rank that hangs still runs.
        for position, collective in list(group.open.items()):
            there = {r: place_of(arrival) for r, arrival in list(collective.arrivals.items())}
            found[(group.number, position)] = dict(sorted(there.items()))
    return Evidence(
        failure=world.failure,
        ranks=tuple(
            _view(rank, files, lines) for rank, lines in zip(world.ranks, outputs, strict=True)
        ),
        groups=tuple((group.name, group.ranks) for group in world.groups),
        open=found,
        clock_s=world.clock_ns / 1e9,
        killed=tuple(
            KilledView(d.rank, place_of(d.at), d.within, d.clock_ns / 1e9) for d in world.killed
        ),
        switches=world.switches,
        letters=tuple(
            LetterView(one.sender, one.receiver, one.tag, one.group, place_of(one.arrival))
            for one in letters_of(world.mailboxes)
        ),
        sought=tuple(
            SoughtView(one.receiver, one.sender, one.tag, one.group, place_of(one.arrival))
            for one in sought_of(world.mailboxes)
        ),
        skipped=_skipped(world),
    )


def _skipped(world: World) -> str:
    """pytest's exception is known by its name: pytest need not be installed."""
    for rank in world.ranks:
        if type(rank.error).__name__ == "Skipped":
            return str(rank.error) or "skipped"
    return ""


def _view(rank: Rank, files: ProgramFiles, output: list[str]) -> RankView:
    on = rank.on
    waits = on is not None and not on.done and not rank.ended
    at = rank.history[-1] if rank.history else None
    waits_at = None
    if waits and isinstance(on, Collective):
        waits_at = (on.group, on.position)
        at = on.arrivals[rank.number]
    state = rank.ended or ("waits" if waits else "runs" if rank.started else "not begun")
    if state == "stopped" and rank.frames:
        state = "runs"  # where it was stopped
    sites = [Site(f.f_code.co_filename, f.f_lineno, f.f_code.co_qualname) for f in rank.frames]
    return RankView(
        rank=rank.number,
        state=state,
        waits_for=rank.what if waits else "",
        at=None if at is None else place_of(at),
        waits_at=waits_at,
        stack=tuple(reversed(sites[:MOST_FRAMES])),
        error=error_lines(rank.error, files),
        counts=dict(rank.counts),
        output=tuple(output[-20:]),
    )


def error_lines(error: BaseException | None, files: ProgramFiles) -> tuple[str, ...]:
    """Its traceback, without the frames of adpkv."""
    if error is None:
        return ()
    shown = traceback.TracebackException.from_exception(error, limit=-30)
    # The program's frames, and the innermost one, which is often a library's.
    inner = [f for f in shown.stack[-1:] if not f.filename.startswith(OWN)]
    frames = [f for f in shown.stack if f.filename in files or f in inner]
    lines = traceback.format_list(frames or shown.stack)
    told = "".join([*lines, *shown.format_exception_only()])
    return tuple(told.rstrip().splitlines())
