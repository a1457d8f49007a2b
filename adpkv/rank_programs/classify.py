"""What kind of failure a schedule has, which ranks are odd, and the sentence that says so.

The kinds are those of a stuck job of the real world (`adpkv.diagnosis`), and a few more that only
programs have.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from adpkv.diagnosis.names import named, verb
from adpkv.rank_programs.evidence import Evidence, KilledView, Place, RankView
from adpkv.rank_programs.failure import What
from adpkv.rank_programs.sites import operation_text, short, where
from adpkv.rank_programs.strays import near_misses, unreceived
from adpkv.rank_programs.variables import line_of

__all__ = ["HAS", "Diagnosis", "Kind", "classify"]


class Kind(StrEnum):
    """The kind of failure; the first five are `adpkv.diagnosis.classify`'s."""

    MISSING_PARTICIPANT = "missing participant"
    WRONG_OPERATION = "wrong operation"
    ARGUMENT_MISMATCH = "argument mismatch"
    ORDER_INVERSION = "order inversion"
    EARLY_EXIT = "early exit"
    MISSING_MESSAGE = "missing message"
    UNWAITED_OPERATION = "unwaited operation"
    UNRECEIVED_MESSAGE = "unreceived message"
    SPIN = "spin"
    HANG = "hang"
    EXCEPTION = "exception"
    OUTSIDE = "outside the model"


HAS: Final = {
    "returned": "has returned",
    "raised": "has raised",
    "killed": "has been killed",
    "aborted": "has been aborted",
    "stopped": "has stopped",
}
"""How a rank's program ended, for people."""


class Diagnosis(msgspec.Struct, frozen=True):
    """What is wrong, with which ranks, and where the others wait."""

    kind: Kind
    sentence: str
    odd: tuple[int, ...] = ()
    others: tuple[int, ...] = ()
    group: int = -1
    position: int = 0


def classify(evidence: Evidence) -> Diagnosis:
    """The diagnosis of a failed schedule."""
    found = _of_kind(evidence)
    if not evidence.killed:
        return found
    told = "; ".join(map(_died, evidence.killed))
    gone = {kill.rank for kill in evidence.killed}
    others = tuple(rank for rank in found.others if rank not in gone)
    return msgspec.structs.replace(found, sentence=f"{told}. {found.sentence}", others=others)


def _died(kill: KilledView) -> str:
    how = "in" if kill.within else "as it came to"
    done = ", its part of it done" if kill.within else ""
    at = f"{operation_text(kill.at)} at {where(kill.at)}"
    return f"rank {kill.rank} was killed {how} {at}{done}"


def _of_kind(evidence: Evidence) -> Diagnosis:
    failure = evidence.failure
    match failure.what:
        case What.MISMATCH if failure.position:
            return _mismatch(evidence)
        case What.DEADLOCK:
            found = _deadlock(evidence)
            sentence = found.sentence + near_misses(evidence)
            return msgspec.structs.replace(found, sentence=sentence)
        case What.UNRECEIVED:
            first = evidence.letters[0]
            odd, others = (first.sender,), (first.receiver,)
            return Diagnosis(Kind.UNRECEIVED_MESSAGE, unreceived(evidence), odd, others)
        case What.UNWAITED:
            return _unwaited(evidence)
        case _:
            return _of_one(evidence)


# -- ranks that do not match -------------------------------------------------------------------


def _sides(there: dict[int, Place]) -> list[list[int]]:
    """Ranks by what they brought, the largest side first."""
    found: dict[tuple[str, str], list[int]] = {}
    for rank, place in there.items():
        found.setdefault((place.kind, place.text), []).append(rank)
    return sorted(found.values(), key=lambda ranks: (-len(ranks), ranks))


def _mismatch(evidence: Evidence) -> Diagnosis:
    failure = evidence.failure
    group, position = failure.group, failure.position
    there = evidence.open[(group, position)]
    common, *rest = _sides(there)
    odd = tuple(sorted(rank for side in rest for rank in side))
    same_kind = len({place.kind for place in there.values()}) == 1
    kind = Kind.ARGUMENT_MISMATCH if same_kind else Kind.WRONG_OPERATION
    told = [
        f"{verb(side, 'brings', 'bring')} {_brought(there[side[0]])}" for side in (*rest, common)
    ]
    sentence = f"at position {position} of {evidence.name(group)}, {'; '.join(told)}"
    if failure.message:
        sentence += f"; {failure.message}"
    if not odd:
        odd = (failure.rank,)
        common = [rank for rank in common if rank != failure.rank]
    return Diagnosis(kind, sentence, odd, tuple(common), group, position)


def _brought(place: Place) -> str:
    return f"{operation_text(place, numbered=False)} at {where(place)}"


# -- nobody can go on --------------------------------------------------------------------------


def _deadlock(evidence: Evidence) -> Diagnosis:
    views = {view.rank: view for view in evidence.ranks}
    waiting = [key for key in evidence.open if any(v.waits_at == key for v in evidence.ranks)]
    if not waiting:
        return _messages(evidence)

    def weight(key: tuple[int, int]) -> tuple[bool, int, tuple[int, int]]:
        missing = [r for r in evidence.groups[key[0]][1] if r not in evidence.open[key]]
        gone = any(views[r].state not in ("waits", "runs") for r in missing)
        return not (gone or evidence.left_out.get(key)), -len(evidence.open[key]), key

    key = min(waiting, key=weight)
    there = evidence.open[key]
    missing = [rank for rank in evidence.groups[key[0]][1] if rank not in there]
    missing = [rank for rank in missing if views[rank].state != "killed"] or missing
    if not missing:
        return _messages(evidence)
    crossed = [views[r] for r in missing if views[r].waits_at not in (None, key)]
    gone = [r for r in missing if views[r].state not in ("waits", "runs")]
    waits = f"{verb(sorted(there), 'waits', 'wait')} in {operation_text(there[min(there)])} of"
    waits = f"{waits} {evidence.name(key[0])} at {_lines(there)}"
    doing = _doing(evidence, [views[rank] for rank in missing])
    left_out = evidence.left_out.get(key)
    if left_out:
        missing, gone, later = list(left_out), [], ", and would not come later"
        doing = _doing(evidence, [views[rank] for rank in missing])
    else:
        later = ""
    if crossed and not gone and not left_out and _crosswise(evidence, key, crossed):
        kind = Kind.ORDER_INVERSION
    else:
        kind = Kind.EARLY_EXIT if len(gone) == len(missing) else Kind.MISSING_PARTICIPANT
    sentence = f"{waits}; {named(missing)} never came{later}: {doing}"
    odd, others = tuple(missing), tuple(sorted(there))
    if len(there) < len(missing):
        odd, others = others, odd
    return Diagnosis(kind, sentence, odd, others, *key)


def _lines(there: dict[int, Place]) -> str:
    """The one line at which all are, or who is at which."""
    whose: dict[str, list[int]] = {}
    for rank, place in there.items():
        whose.setdefault(where(place), []).append(rank)
    if len(whose) == 1:
        return next(iter(whose))
    return " and ".join(f"{line} ({named(ranks)})" for line, ranks in whose.items())


def _crosswise(evidence: Evidence, key: tuple[int, int], crossed: Sequence[RankView]) -> bool:
    """Does the other collective wait for the ranks that are in this one, or does one for which it
    waits?"""
    seen, left = {key}, [view.waits_at for view in crossed]
    while left:
        other = left.pop()
        if other is None or other in seen:
            continue
        seen.add(other)
        awaited = set(evidence.groups[other[0]][1]).difference(evidence.open[other])
        if not awaited.isdisjoint(evidence.open[key]):
            return True
        left += [evidence.ranks[rank].waits_at for rank in awaited]
    return False


def _doing(evidence: Evidence, views: Sequence[RankView]) -> str:
    """What ranks do instead, each way once."""
    ways: dict[tuple[str, str], list[int]] = {}
    for view in views:
        ways.setdefault(_does(evidence, view), []).append(view.rank)
    if len(ways) == 1:
        one, many = next(iter(ways))
        return one if len(views) == 1 else many
    return ", ".join(
        f"{named(ranks)}: {one if len(ranks) == 1 else many}" for (one, many), ranks in ways.items()
    )


def _does(evidence: Evidence, view: RankView) -> tuple[str, str]:
    at = view.at
    if view.state == "waits" and at is not None and view.waits_at is not None:
        told = f"in {operation_text(at)} of {evidence.name(at.group)} at {where(at)}"
        return f"it waits {told}", f"they wait {told}"
    if view.state == "waits":
        told = f"in {view.waits_for}{_at_site(view)}"
        return f"it waits {told}", f"they wait {told}"
    last = f", after {operation_text(at)} at {where(at)}" if at is not None else ""
    if view.state in HAS:
        word = HAS[view.state].removeprefix("has ")
        return f"its program has {word}{last}", f"their programs have {word}{last}"
    return f"it has not begun{last}", f"they have not begun{last}"


def _at_site(view: RankView) -> str:
    if not view.stack:
        return ""
    site = view.stack[-1]
    return f" at {short(site.file)}:{site.line}"


def _messages(evidence: Evidence) -> Diagnosis:
    waiting = [view for view in evidence.ranks if view.state == "waits"]
    told = [f"rank {view.rank} waits in {view.waits_for}{_at_site(view)}" for view in waiting[:8]]
    if len(waiting) > 8:
        told.append(
            "and 1 more waits" if len(waiting) == 9 else f"and {len(waiting) - 8} more wait"
        )
    odd = tuple(view.rank for view in waiting)
    others = tuple(view.rank for view in evidence.ranks if view.rank not in odd)
    sentence = f"{'; '.join(told)}: nobody is left who could end that"
    return Diagnosis(Kind.MISSING_MESSAGE, sentence, odd, others)


# -- one rank ----------------------------------------------------------------------------------

_KINDS = {
    What.EXCEPTION: Kind.EXCEPTION,
    What.SPIN: Kind.SPIN,
    What.HANG: Kind.HANG,
    What.REFUSED: Kind.OUTSIDE,
    What.MISMATCH: Kind.ARGUMENT_MISMATCH,
}


def _of_one(evidence: Evidence) -> Diagnosis:
    failure = evidence.failure
    kind = _KINDS[failure.what]
    rank = failure.rank
    others = tuple(view.rank for view in evidence.ranks if view.rank != rank)
    at = ""
    if rank >= 0 and evidence.ranks[rank].stack:
        site = evidence.ranks[rank].stack[-1]
        source = line_of(site.file, site.line) if failure.what is What.HANG else ""
        at = f" (at {short(site.file)}:{site.line}{f': {source}' if source else ''})"
    elif failure.file:
        at = f" (at {short(failure.file)}:{failure.line})"
    who = f"rank {rank}" if rank >= 0 else "the ranks"
    match failure.what:
        case What.EXCEPTION:
            sentence = f"{who} raised {failure.message}"
        case What.SPIN if rank < 0:
            sentence = f"the ranks were stopped {failure.message}"
        case What.SPIN:
            sentence = f"{who} asks and asks{at}, and nothing happens: stopped {failure.message}"
        case What.HANG:
            sentence = f"{who} neither met the others nor ended{at} {failure.message}"
        case What.REFUSED:
            sentence = f"{who}{at}: {failure.message}"
        case _:
            sentence = f"{who}{at}: {failure.message}"
    return Diagnosis(kind, sentence, (rank,) if rank >= 0 else (), others)


def _unwaited(evidence: Evidence) -> Diagnosis:
    failure = evidence.failure
    view = evidence.ranks[failure.rank]
    others = tuple(v.rank for v in evidence.ranks if v.rank != view.rank)
    sentence = f"rank {view.rank} {failure.message}"
    return Diagnosis(Kind.UNWAITED_OPERATION, sentence, (view.rank,), others)
