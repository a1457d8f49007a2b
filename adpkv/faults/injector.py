"""An operation in, a decision out: which fault, if any, hits what a rank is about to do.

Which faults fit is a matter of rank, peer, request, phase, time window and count. Chance is drawn
from the run's seed, keyed by (fault, request, attempt, phase, repetition) and never by order, so
that both worlds and both ways through a quiet stretch draw the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from adpkv.config.fault_kinds import KINDS, Seam, phases
from adpkv.core.ids import NEVER
from adpkv.core.report import FaultCount, Nearest
from adpkv.random_draws import uniform

if TYPE_CHECKING:
    from adpkv.config import Experiment
    from adpkv.config.faults import FaultConfig

__all__ = ["CONTACT", "MOST_REMEMBERED", "Armed", "Decision", "Injector", "armed"]

MOST_REMEMBERED = 4096
"""Of how many messages a rank remembers how often they were drawn for, the last ones."""

CONTACT = "contact"
"""The phase of a rank's first post to a peer, as far as that is slow."""


class Decision(NamedTuple):
    """What becomes of an operation; what a kind has no use for is at its default."""

    kind: str
    until_ns: int = 0
    proven: bool = True
    bandwidth_bytes_per_s: int = 0


class Armed:
    """One fault on one rank: how often it fired, and how near it came to it."""

    __slots__ = ("fault", "fired", "nearest", "number")

    def __init__(self, number: int, fault: FaultConfig) -> None:
        self.number = number
        self.fault = fault
        self.fired = 0
        self.nearest = Nearest.NOTHING

    def came(self, near: Nearest) -> None:
        """It came as near as this; only the nearest counts."""
        self.nearest = max(self.nearest, near)

    def hit(self) -> None:
        """It fired."""
        self.fired += 1
        self.nearest = Nearest.FIRED

    def count(self) -> FaultCount:
        """For the rank's report."""
        return FaultCount(self.number, self.fired, self.nearest)


def armed(experiment: Experiment, rank: int) -> list[Armed]:
    """The faults that can happen on a rank's side, numbered as in the experiment."""
    return [
        Armed(number, fault)
        for number, fault in enumerate(experiment.faults)
        if fault.ranks is None or rank in fault.ranks
    ]


class Injector:
    """One rank's faults at one seam."""

    def __init__(self, faults: Iterable[Armed], seed: int, seam: Seam) -> None:
        self._seed = seed
        self._repeats = seam is Seam.MESSAGES
        self._attempts: OrderedDict[tuple[int, int, str], int] = OrderedDict()
        self._by_phase: dict[str, list[Armed]] = {}
        for one in faults:
            if KINDS[one.fault.kind].seam is seam:
                for phase in _operations(one.fault):
                    self._by_phase.setdefault(phase, []).append(one)
        self.slow_contacts = self.asks(CONTACT)
        """Whether a first post must be told from the others."""

    def __bool__(self) -> bool:
        return bool(self._by_phase)

    def asks(self, *phases: str) -> bool:
        """Whether any fault has one of these phases."""
        return any(phase in self._by_phase for phase in phases)

    def decide(
        self, phase: str, peer: int, request_id: int, attempt: int, now_ns: int
    ) -> Decision | None:
        """The first fault that fits and is drawn decides."""
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
            drawn = uniform(self._seed, "fault", one.number, *what)
            if drawn >= fault.probability:
                one.came(Nearest.CHANCE)
                continue
            one.hit()
            for later in faults[place + 1 :]:
                later.came(_missed(later.fault, peer, request_id, now_ns) or Nearest.TAKEN)
            until_ns = NEVER if fault.duration_ns is None else now_ns + fault.duration_ns
            return Decision(fault.kind, until_ns, fault.proven, fault.bandwidth_bytes_per_s or 0)
        return None

    def _what(self, request_id: int, attempt: int, phase: str) -> tuple[int | str, ...]:
        """What a draw is for. A message that is sent again is another one, or chance would hit it
        for ever."""
        key = (request_id, attempt, phase)
        if not self._repeats:
            return key
        attempts = self._attempts
        attempt = attempts.pop(key, 0)
        attempts[key] = attempt + 1
        if len(attempts) > MOST_REMEMBERED:
            attempts.popitem(last=False)
        return (*key, attempt) if attempt else key


def _operations(fault: FaultConfig) -> tuple[str, ...]:
    return (CONTACT,) if fault.kind == "slow_first_contact" else phases(fault)


def _missed(fault: FaultConfig, peer: int, request_id: int, now_ns: int) -> Nearest | None:
    """The first aim that does not fit."""
    if fault.peers is not None and peer not in fault.peers:
        return Nearest.PHASE
    if fault.requests is not None and request_id not in fault.requests:
        return Nearest.PEER
    if now_ns < fault.after_ns or (fault.before_ns is not None and now_ns >= fault.before_ns):
        return Nearest.REQUEST
    return None
