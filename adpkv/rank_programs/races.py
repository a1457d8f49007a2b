"""Which messages a receive from any rank could have taken, beside the one that it took.

A message that was under way, or was sent without knowing of the receive, could have come first. Who
knows what follows from vector clocks: a rank knows what it has done, and what those knew from whom
it got a message or with whom it made a collective. So a worker's second result, which answers a
second order, is no rival of the first. The failing schedule is followed, and the plain one beside
it, in which each receive takes what comes first by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from adpkv.rank_programs.choices import FirstOption, Recorded
from adpkv.rank_programs.evidence import Place, place_of
from adpkv.rank_programs.letters import Letter, Sought
from adpkv.rank_programs.members import Group, Rank
from adpkv.rank_programs.operations import Arrival
from adpkv.rank_programs.session import Session
from adpkv.rank_programs.world import World

__all__ = ["Race", "Rival", "races_of"]


class Rival(msgspec.Struct, frozen=True):
    """A message that could have been taken."""

    sender: int
    at: Place


class Race(msgspec.Struct, frozen=True):
    """A receive from any rank that took one of several messages."""

    receiver: int
    at: Place
    took: Rival
    others: tuple[Rival, ...]
    plain: int | None = None
    """Whose message it took in the plain schedule, where that ends well and it was another's."""


class _Taken:
    """A receive, and what it took."""

    def __init__(self, sought: Sought, letter: Letter, number: int) -> None:
        self.sought, self.letter, self.number = sought, letter, number
        """`number`: how many messages the receiver has taken, this one included."""
        kind = sought.arrival.operation.kind.lower()
        self.probes = "probe" in kind and "mprobe" not in kind
        """It has left the message where it was."""


class _Followed:
    """The messages of one schedule."""

    def __init__(self) -> None:
        self._knows: list[list[int]] = []
        """By rank: of how many receives of each rank it knows."""
        self._sent: dict[Arrival, tuple[Letter, list[int]]] = {}
        self._taken: list[_Taken] = []
        self._together: dict[tuple[int, int], set[int]] = {}
        """By group and position: who has come."""

    def prepare(self, world: World) -> None:
        """Before the schedule begins."""
        self._knows = [[0] * world.size for _ in range(world.size)]
        world.on_letter, world.on_taken = self._letter, self._takes
        world.on_arrival = self._arrived

    def _letter(self, letter: Letter) -> None:
        self._sent[letter.arrival] = letter, list(self._knows[letter.sender])

    def _takes(self, sought: Sought, letter: Letter) -> None:
        mine = self._knows[sought.receiver]
        mine[sought.receiver] += 1
        taken = _Taken(sought, letter, mine[sought.receiver])
        mine[:] = map(max, mine, self._sent[letter.arrival][1])
        self._taken.append(taken)

    def _arrived(self, rank: Rank, arrival: Arrival, group: Group) -> None:
        there = self._together.setdefault((group.number, arrival.position), set())
        there.add(rank.number)
        if len(there) == len(group.ranks):
            known = [max(each) for each in zip(*(self._knows[r] for r in there), strict=True)]
            for number in there:
                self._knows[number] = list(known)

    def wild(self) -> list[tuple[_Taken, list[Letter]]]:
        """The receives from any rank, each with what it could have taken too: the first such
        message of each sender."""
        found = []
        over: set[Arrival] = set()
        for taken in self._taken:
            if taken.sought.sender is None:
                found.append((taken, self._rivals(taken, over)))
            if not taken.probes:
                over.add(taken.letter.arrival)
        return found

    def _rivals(self, taken: _Taken, over: set[Arrival]) -> list[Letter]:
        first: dict[int, Letter] = {}
        for letter, known in self._sent.values():
            if letter.arrival in over or not taken.sought.takes(letter):
                continue
            if known[taken.sought.receiver] < taken.number:
                first.setdefault(letter.sender, letter)
        first.pop(taken.letter.sender, None)
        return list(first.values())


def races_of(session: Session, choices: Sequence[int]) -> tuple[Race, ...]:
    """The receives of this schedule that could have taken another message. Where the plain schedule
    ends well: only those that took another one there."""
    followed, plain = _Followed(), _Followed()
    session.perform(Recorded(choices), prepare=followed.prepare)
    found = followed.wild()
    if not any(rivals for _, rivals in found):
        return ()
    before: dict[tuple[int, int], int] = {}
    if any(choices):
        world = session.perform(FirstOption(), prepare=plain.prepare)
        if world.failure is None:
            before = _numbered(plain.wild())
    now = _numbered(found)
    races = [
        _race(taken, rivals, before.get(key))
        for key, (taken, rivals) in zip(now, found, strict=True)
        if rivals
    ]
    telling = tuple(race for race in races if race.plain is not None)
    return telling or tuple(races)


def _numbered(wild: Sequence[tuple[_Taken, list[Letter]]]) -> dict[tuple[int, int], int]:
    """By rank and number of its receives from any rank: whose message it took."""
    found: dict[tuple[int, int], int] = {}
    counts: dict[int, int] = {}
    for taken, _ in wild:
        receiver = taken.sought.receiver
        counts[receiver] = counts.get(receiver, 0) + 1
        found[receiver, counts[receiver]] = taken.letter.sender
    return found


def _race(taken: _Taken, rivals: Sequence[Letter], plain: int | None) -> Race:
    sender = taken.letter.sender
    return Race(
        taken.sought.receiver,
        place_of(taken.sought.arrival),
        Rival(sender, place_of(taken.letter.arrival)),
        tuple(Rival(letter.sender, place_of(letter.arrival)) for letter in rivals),
        plain if plain != sender else None,
    )
