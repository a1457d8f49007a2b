"""What a rank does together with others: values that are compared, matched and shown.

An `Operation` is one call as one rank made it. Two ranks at one position of a group match if the
`key`s of their operations are equal; `text` is the same for people, with shapes and names.
"""

from __future__ import annotations

from types import CodeType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from adpkv.rank_programs.world import World

__all__ = ["Arrival", "Collective", "Operation", "Site", "Wait"]


class Site(NamedTuple):
    """A line of the program."""

    file: str
    line: int
    function: str


class Operation(NamedTuple):
    """One call, as far as all ranks must agree on it."""

    kind: str
    key: tuple[Any, ...] = ()
    """What must be equal besides the kind: count, dtype, root, reduction."""
    text: str = ""
    """The same for people: `[4, 8] float32, root 0`."""


class Arrival:
    """A rank that has come to a collective."""

    __slots__ = ("code", "group", "line", "operation", "payload", "position", "rank")

    def __init__(
        self, rank: int, operation: Operation, payload: Any, code: CodeType | None, line: int
    ) -> None:
        self.rank, self.operation, self.payload = rank, operation, payload
        self.code, self.line = code, line
        self.group, self.position = -1, 0
        """Which position of which group; -1 and 0 for a message."""

    @property
    def site(self) -> Site:
        """The line of the program that made the call."""
        code = self.code
        if code is None:
            return Site("", 0, "")
        return Site(code.co_filename, self.line, code.co_qualname)


class Wait:
    """Something that ends once; ranks wait for it."""

    __slots__ = ("done", "torn")

    def __init__(self) -> None:
        self.done = False
        self.torn = -1
        """The member that has died in it; each of the others may have its result or not."""

    def missing(self, world: World) -> int:
        """The rank that is gone and without which it is never done; -1 if there is none."""
        return -1

    def told_ns(self, world: World) -> int:
        """When those that wait for it are told that a rank is gone; 0 for never."""
        return 0


class Collective(Wait):
    """One position of one group: complete when all its members have arrived."""

    __slots__ = ("arrivals", "broken", "finish", "group", "position", "values")

    def __init__(self, group: int, position: int) -> None:
        super().__init__()
        self.group, self.position = group, position
        self.arrivals: dict[int, Arrival] = {}
        """By rank of the whole job, in order of arrival."""
        self.broken = False
        """Its members do not match: it is never complete."""
        self.finish: Any = None
        """Completes it, of those arrivals that it is given."""
        self.values: Any = None
        """What the members get, where they do not share memory to write it to."""

    def missing(self, world: World) -> int:
        """A member that has gone before it came."""
        group = world.groups[self.group]
        if group.living:
            return -1
        members, there = group.ranks, self.arrivals
        return next((r for r in world.gone if r in members and r not in there), -1)

    def told_ns(self, world: World) -> int:
        """At once, or when the library's patience with that group is over."""
        group = world.groups[self.group]
        if group.revoked or self.missing(world) >= 0:
            return max(1, world.clock_ns + (0 if group.revoked else group.patience_ns))
        return 0
