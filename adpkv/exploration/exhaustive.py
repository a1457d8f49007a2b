"""Walks all interleavings of a small experiment: every order of simultaneous events, and for one
message of a path each delay that ends just before or just after a deadline.

Stateless: each path is run from the start. Two things keep it small. *Independent events*: an event
that touches a group which no other enabled event touches is not a choice. *States*: a path that
comes to a state in which another one was before is cut off there, as the rest has been walked.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

from adpkv.core.ids import COORDINATOR, SOON_NS
from adpkv.core.topology import Kind
from adpkv.exploration.cases import Case
from adpkv.exploration.facts import ObservedTables, facts_of
from adpkv.exploration.fingerprint import fingerprint
from adpkv.exploration.schedules import Choices
from adpkv.exploration.trial import Trial, attempt
from adpkv.heaps import heapify, heappop, heappush
from adpkv.worlds.virtual.event_queue import (
    COORDINATOR_WAKE,
    GROUP_WAKE,
    LINK,
    MESSAGES,
    Action,
    Entry,
    EventQueue,
)
from adpkv.worlds.virtual.run import Simulation

__all__ = ["Walk", "walk"]

FIRST: Final = -(1 << 30)
"""The place of what is chosen to come first at its instant; what is chosen next has the next."""

ALL: Final = frozenset({-1})
"""The groups that an event touches, where it may be any."""


class _SeenError(Exception):
    """The path has come to a state that was walked from before."""


@dataclass(slots=True)
class Walk:
    """What was walked."""

    paths: int = 0
    """Runs that came to their end."""
    cut_off: int = 0
    """Runs that were cut off at a state which another path had reached."""
    independent: int = 0
    """Instants at which several events were possible and their order made no difference."""
    states: set[bytes] = field(default_factory=set)
    """All states at which something was to be chosen."""
    ends: set[bytes] = field(default_factory=set)
    """How paths ended: the answers to all requests, and what was wrong."""
    finds: list[Trial] = field(default_factory=list)
    """The first of each kind."""
    wrong: Counter[str] = field(default_factory=Counter)
    """How many paths had each kind of find."""
    facts: Counter[str] = field(default_factory=Counter)
    """What the events of all paths tell."""
    lines: dict[str, int] = field(default_factory=dict)
    """Which lines of the tables and answers to cancels were used."""
    complete: bool = False

    def data(self) -> dict[str, Any]:
        """As `explore.json` has it."""
        return {
            "complete": self.complete,
            "paths": self.paths,
            "states": len(self.states),
            "cut_off_at_known_states": self.cut_off,
            "orders_without_difference": self.independent,
            "different_ends": len(self.ends),
        }


def walk(
    case: Case,
    *,
    until_s: float | None = None,
    reduced: bool = True,
    delays: int = 1,
    most_finds: int | None = None,
    watch: Callable[[Walk], None] = lambda walked: None,
    into: Walk | None = None,
) -> Walk:
    """All paths of the case.

    Args:
        until_s: of `time.monotonic`: then it ends, and is not complete.
        reduced: leave out what is known to make no difference.
        delays: how many messages of a path may be delayed.
        most_finds: end as soon as there are so many kinds of finds; then it is not complete.
        into: what is filled, path by path: so whoever breaks the walk off has what was walked.
    """
    found, observed = Walk() if into is None else into, ObservedTables()
    prefixes: list[tuple[int, ...]] = [()]
    while prefixes:
        late = until_s is not None and time.monotonic() >= until_s
        if late or (most_finds is not None and len(found.finds) >= most_finds):
            return found
        path = _Path(case, prefixes.pop(), found, reduced=reduced, delays=delays)
        trial = attempt(case, schedule=path, rules=observed.rules, watch=path.begin)
        if path.seen:
            found.cut_off += 1
        else:
            _end(found, case, path, trial)
        for at in range(len(path.given), len(path.arities)):
            chosen = tuple(path.chosen[:at])
            prefixes += [(*chosen, other) for other in range(1, path.arities[at])]
        found.lines = dict(observed.counts)
        watch(found)
    found.complete = True
    return found


def _end(found: Walk, case: Case, path: _Path, trial: Trial) -> None:
    found.paths += 1
    answers = [(r.request_id, str(r.outcome), r.ended_ns) for r in trial.records]
    wrong = sorted({one.kind for one in trial.found})
    found.ends.add(repr((sorted(answers), wrong, int(trial.exit_code))).encode())
    found.facts.update(facts_of(trial.events))
    if trial.found:
        found.wrong[trial.found[0].kind] += 1
    if trial.found and all(one.found[0].kind != trial.found[0].kind for one in found.finds):
        again = attempt(case.under(path.choices()))
        found.finds.append(again if again.found else trial)


class _Path(EventQueue):
    """The queue of one path, and its schedule: it makes the given choices, then always the
    first."""

    __slots__ = (
        "_arrives_ns", "_delays", "_entries", "_haste", "_job", "_known", "_lateness", "_order",
        "_reduced", "arities", "chosen", "given", "seen",
    )  # fmt: skip

    def __init__(
        self, case: Case, given: tuple[int, ...], known: Walk, *, reduced: bool, delays: int
    ) -> None:
        super().__init__()
        self.given, self._known, self._reduced, self._delays = given, known, reduced, delays
        self.chosen: list[int] = []
        self.arities: list[int] = []
        self.seen = False
        self._lateness = _lateness(case)
        self._job: Simulation | None = None
        self._order: dict[tuple[int, int, int, int], int] = {}
        self._haste: dict[tuple[int, int, int], int] = {}
        self._entries: list[Entry] = []
        self._arrives_ns: dict[tuple[int, int], int] = {}

    def begin(self, job: Simulation, events: Any) -> Callable[[], None]:
        """The job is about to run."""
        self._job = job
        return lambda: None

    def choices(self) -> Choices:
        """What was chosen, as a schedule."""
        return Choices(dict(self._order), dict(self._haste), {})

    # -- as a schedule: nothing but what it decides as a queue -----------------------------------

    def order(self, kind: int, owner: int, to: int, at_ns: int) -> int:
        """Canonical."""
        return 0

    def haste(self, sender: int, to: int, number: int) -> int:
        """None."""
        return 0

    def speed(self, group: int, iteration: int) -> int:
        """None."""
        return 0

    # -- as a queue ------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        """Drop all events; `now` stays."""
        super().clear()
        self._entries.clear()

    def add(
        self, at_ns: int, kind: int, owner: int, number: int, action: Action, what: Any
    ) -> None:
        """Call `action(what)` at `at_ns`."""
        if kind != GROUP_WAKE:
            self.outside += 1
        heappush(self._entries, (at_ns, kind, owner, number, action, what))

    def arrival_ns(self, sender: int, to: int, number: int, latency_ns: int) -> int:
        """As sent, or late by one of the delays; in order between two."""
        late_ns = 0
        if self._delays and to != COORDINATOR:
            chosen = self._choose(1 + len(self._lateness))
            if chosen:
                self._delays -= 1
                late_ns = self._lateness[chosen - 1]
                self._haste[sender, to, number] = -late_ns
        at_ns = max(self.now + latency_ns + late_ns, self._arrives_ns.get((sender, to), 0))
        self._arrives_ns[sender, to] = at_ns
        return at_ns

    def _next(self) -> Entry:
        enabled = self._enabled()
        if len(enabled) == 1:
            return heappop(self._entries)
        touched = [self._touches(entry) for entry in enabled]
        if self._reduced:
            for place, groups in enumerate(touched):
                others = [other for at, other in enumerate(touched) if at != place]
                if groups is not ALL and all(o is not ALL and not o & groups for o in others):
                    self._known.independent += 1
                    return self._taken(enabled[place])
        chosen = self._choose(len(enabled), at_rest=True)
        entry = enabled[chosen]
        at_ns, kind, owner, _, _, what = entry
        to = what[0] if kind == MESSAGES else -1
        self._order[kind, owner, to, at_ns] = FIRST + len(self._order)
        return self._taken(entry)

    def _enabled(self) -> list[Entry]:
        """The first event of each owner at the next instant; the first alone if it is a link's."""
        at_ns, kind, *_ = self._entries[0]
        if kind == LINK:
            return [self._entries[0]]
        found: dict[tuple[int, int, int], Entry] = {}
        for entry in sorted(one for one in self._entries if one[0] == at_ns):
            if not _is_void(entry):
                to = entry[5][0] if entry[1] == MESSAGES else -1
                found.setdefault((entry[1], entry[2], to), entry)
        return list(found.values()) if len(found) > 1 else [self._entries[0]]

    def _taken(self, entry: Entry) -> Entry:
        self._entries.remove(entry)
        heapify(self._entries)
        return entry

    def _touches(self, entry: Entry) -> frozenset[int]:
        """The groups that an event concerns, at once or by what it makes happen at this instant. A
        context group may post, which concerns the receivers at once."""
        _, kind, owner, _, _, what = entry
        if kind == COORDINATOR_WAKE or (kind == MESSAGES and what[0] == COORDINATOR):
            return frozenset({COORDINATOR - 1})
        assert self._job is not None
        topology = self._job.topology
        if kind == GROUP_WAKE:
            instance = topology.instances[owner]
        else:
            instance = topology.instance_of(what[0] if kind == MESSAGES else owner)
        return ALL if instance.kind is Kind.CONTEXT else frozenset({instance.index})

    def _choose(self, options: int, *, at_rest: bool = False) -> int:
        """One of the options: as given, else the first. `at_rest`: between two events, where the
        state can be told."""
        at = len(self.chosen)
        if at < len(self.given):
            chosen = self.given[at]
        else:
            chosen = 0
            if at_rest:
                self._look()
        self.arities.append(options)
        self.chosen.append(chosen)
        return chosen

    def _look(self) -> None:
        """Is this a state in which another path was?

        Raises:
            _SeenError: it is; the path ends here.
        """
        assert self._job is not None
        waiting = [_told(one) for one in sorted(self._entries, key=_KEY) if not _is_void(one)]
        state = fingerprint(self._job, self.now, self._delays, self._arrives_ns, waiting)
        if state not in self._known.states:
            self._known.states.add(state)
        elif self._reduced:
            self.seen = True
            raise _SeenError


_KEY: Final = itemgetter(0, 1, 2, 3)


def _told(entry: Entry) -> tuple[Any, ...]:
    """An event as part of a state: a group's wake-up without its number."""
    at_ns, kind, owner, number, _, what = entry
    if kind == GROUP_WAKE and isinstance(what[1], int):
        return at_ns, kind, owner
    return at_ns, kind, owner, number, what


def _is_void(entry: Entry) -> bool:
    """A wake-up that is planned for another time by now."""
    _, kind, _, number, _, what = entry
    if kind != GROUP_WAKE or not isinstance(what[1], int):
        return False
    return bool(what[0].course.version != number)


def _lateness(case: Case) -> tuple[int, ...]:
    """By how much a message may be late: just too little, and just enough, for each deadline."""
    limits = case.experiment.transceiver
    deadlines = {limits.transfer_timeout_ns, limits.wait_timeout_ns, limits.progress_deadline_ns}
    latency_ns = limits.mail_latency_ns
    around = {
        max(SOON_NS, deadline_ns - latency_ns + change)
        for deadline_ns in deadlines
        for change in (-SOON_NS, SOON_NS)
    }
    return tuple(sorted(around))
