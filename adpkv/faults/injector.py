"""Decides which fault, if any, hits an operation of a rank.

A fault is matched by rank, peer, request, phase, time window and count. Random draws come from the
run's seed and are keyed by (fault, request, attempt, phase, repetition), never by order. So both
worlds draw the same, and so does virtual time whether or not it jumps over quiet stretches.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from adpkv.config.fault_kinds import KINDS, Seam, phases
from adpkv.core.ids import NEVER
from adpkv.core.report import FaultCount, Nearest
from adpkv.random_draws import uniform

if TYPE_CHECKING:
    from adpkv.config import Experiment
    from adpkv.config.faults import FaultConfig

__all__ = ["CONTACT", "MOST_REMEMBERED", "Armed", "Decision", "Injector", "armed"]

MOST_REMEMBERED: Final = 4096
"""For how many of the latest messages a rank remembers how often it has sent them."""

# Looked up once: to look a member up in its enum takes longer than what is compared.
_PHASE, _PEER, _REQUEST = Nearest.PHASE, Nearest.PEER, Nearest.REQUEST

CONTACT: Final = "contact"
"""The pseudo-phase of a rank's first post to a peer; only `slow_first_contact` uses it."""


class Decision(NamedTuple):
    """What happens to an operation. Fields that the fault's kind does not use keep their defaults.

    Args:
        kind: the fault's kind.
        until_ns: the time until which the operation is delayed; NEVER for ever.
        proven: the operation fails with the proof that no more bytes will land.
        bandwidth_bytes_per_s: of a slow link; 0 for any other kind.
    """

    kind: str
    until_ns: int = 0
    proven: bool = True
    bandwidth_bytes_per_s: int = 0


class Armed:
    """One fault on one rank: how often it fired, and how close it came to firing."""

    __slots__ = ("fault", "fired", "nearest", "number")

    def __init__(self, number: int, fault: FaultConfig) -> None:
        self.number = number
        self.fault = fault
        self.fired = 0
        self.nearest = Nearest.NOTHING

    def came(self, near: Nearest) -> None:
        """Record how far an operation matched the fault; only the closest match is kept."""
        self.nearest = max(self.nearest, near)

    def hit(self) -> None:
        """Record that the fault fired."""
        self.fired += 1
        self.nearest = Nearest.FIRED

    def count(self) -> FaultCount:
        """The counts for the rank's report."""
        return FaultCount(self.number, self.fired, self.nearest)


def armed(experiment: Experiment, rank: int) -> list[Armed]:
    """The faults of the experiment that can hit this rank, numbered as in the experiment."""
    found = []
    for number, fault in enumerate(experiment.faults):
        ranks = fault.ranks
        if ranks is None or rank in ranks:
            found.append(Armed(number, fault))
    return found


class Injector:
    """The faults of one rank at one seam (`config.fault_kinds.Seam`), such as its transport."""

    def __init__(self, faults: Sequence[Armed], seed: int, seam: Seam) -> None:
        self._seed = seed
        self._repeats = seam is Seam.MESSAGES
        self._repetitions: OrderedDict[tuple[int, int, str], int] = OrderedDict()
        self._by_phase: dict[str, list[Armed]] = {}
        self.slow_contacts = False
        """Whether the first post to a peer must be told apart from later ones."""
        if not faults:
            return
        for one in faults:
            if KINDS[one.fault.kind].seam is seam:
                for phase in _operations(one.fault):
                    self._by_phase.setdefault(phase, []).append(one)
        self.slow_contacts = self.asks(CONTACT)

    def __bool__(self) -> bool:
        return bool(self._by_phase)

    def asks(self, *phases: str) -> bool:
        """Whether any fault concerns one of these phases."""
        return any(phase in self._by_phase for phase in phases)

    def decide(
        self, phase: str, peer: int, request_id: int, attempt: int, now_ns: int
    ) -> Decision | None:
        """The decision of the first fault that matches and whose random draw succeeds; None if no
        fault fires."""
        faults = self._by_phase.get(phase)
        if faults is None:
            return None
        what: tuple[int | str, ...] = ()
        for place, one in enumerate(faults):
            fault = one.fault
            missed = _missed(fault, peer, request_id, now_ns)
            if missed is not None:
                if missed > one.nearest:
                    one.nearest = missed
                continue
            if fault.count is not None and one.fired >= fault.count:
                continue
            what = what or self._what(request_id, attempt, phase)
            likely = fault.probability
            if likely < 1.0 and uniform(self._seed, "fault", one.number, *what) >= likely:
                one.came(Nearest.CHANCE)
                continue
            one.hit()
            for later in faults[place + 1 :]:
                later.came(_missed(later.fault, peer, request_id, now_ns) or Nearest.TAKEN)
            until_ns = NEVER if fault.duration_ns is None else now_ns + fault.duration_ns
            return Decision(fault.kind, until_ns, fault.proven, fault.bandwidth_bytes_per_s or 0)
        return None

    def _what(self, request_id: int, attempt: int, phase: str) -> tuple[int | str, ...]:
        """The key of a random draw. A message that is sent again gets a new key, or else a fault
        that hit it once would hit every retry."""
        key = (request_id, attempt, phase)
        if not self._repeats:
            return key
        repetitions = self._repetitions
        repetition = repetitions.pop(key, 0)
        repetitions[key] = repetition + 1
        if len(repetitions) > MOST_REMEMBERED:
            repetitions.popitem(last=False)
        return (*key, repetition) if repetition else key


def _operations(fault: FaultConfig) -> tuple[str, ...]:
    return (CONTACT,) if fault.kind == "slow_first_contact" else phases(fault)


def _missed(fault: FaultConfig, peer: int, request_id: int, now_ns: int) -> Nearest | None:
    """How far the operation matches the fault's conditions, up to the first that fails; None if all
    match."""
    peers, requests, before_ns = fault.peers, fault.requests, fault.before_ns
    if peers is not None and peer not in peers:
        return _PHASE
    if requests is not None and request_id not in requests:
        return _PEER
    if now_ns < fault.after_ns or (before_ns is not None and now_ns >= before_ns):
        return _REQUEST
    return None
