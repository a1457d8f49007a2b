"""Which faults fired how often, and which did not: a fault that never fires tests nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from adpkv.config.fault_kinds import KINDS, phases
from adpkv.core.report import FaultCount, Nearest

if TYPE_CHECKING:
    from adpkv.config import Experiment
    from adpkv.config.faults import FaultConfig

__all__ = ["COULD_NEVER", "fired", "unfired"]

COULD_NEVER: Final = "could never fire"
"""In the sentence about a fault that nothing in the run matched."""


def fired(experiment: Experiment, found: Iterable[FaultCount]) -> dict[str, int]:
    """How often each kind fired, in the order of the kinds' names; all that were configured."""
    counts: dict[str, int] = dict.fromkeys(sorted({fault.kind for fault in experiment.faults}), 0)
    for count in found:
        counts[experiment.faults[count.number].kind] += count.fired
    return counts


def unfired(
    experiment: Experiment, counts: Iterable[FaultCount], silent: Collection[int] = ()
) -> list[str]:
    """A sentence per fault that did not fire: nothing in the run matched it, or it was not drawn.

    A fault that is aimed at a `silent` rank, one that failed without a report, is left out: it may
    have fired there.
    """
    nearest: dict[int, Nearest] = {}
    for count in counts:
        nearest[count.number] = max(nearest.get(count.number, Nearest.NOTHING), count.nearest)
    found = []
    for number, fault in enumerate(experiment.faults):
        near = nearest.get(number, Nearest.NOTHING)
        if near is Nearest.FIRED or any(_is_aimed_at(fault, rank) for rank in silent):
            continue
        verb = "did not fire" if near >= Nearest.TAKEN else COULD_NEVER
        at_an_instant = KINDS[fault.kind].at_an_instant
        why = _why_hit_nobody(fault, near) if at_an_instant else _why_hit_nothing(fault, near)
        found.append(f"faults.{number} ({fault.kind}) {verb}: {why}")
    return found


def _is_aimed_at(fault: FaultConfig, rank: int) -> bool:
    return fault.ranks is None or rank in fault.ranks


def _why_hit_nothing(fault: FaultConfig, near: Nearest) -> str:
    phase = " or ".join(phases(fault))
    match near:
        case Nearest.NOTHING:
            return f"no {phase} happened on its ranks"
        case Nearest.PHASE:
            return f"no {phase} had one of its peers at the other end"
        case Nearest.PEER:
            return f"no {phase} was about one of its requests"
        case Nearest.REQUEST:
            return f"no {phase} fell into its window of time"
        case Nearest.TAKEN:
            return "what fitted it was hit by a fault before it"
    return f"it fitted, and with a probability of {fault.probability:g} was not drawn"


def _why_hit_nobody(fault: FaultConfig, near: Nearest) -> str:
    match near:
        case Nearest.NOTHING:
            return "the run was over before its time came"
        case Nearest.CHANCE:
            return f"with a probability of {fault.probability:g} it was not drawn"
    phase = " or ".join(phases(fault))
    if near is Nearest.REQUEST:
        return f"no iteration came to {phase} within its window of time"
    return f"after its time no iteration came to {phase}"
