"""Makes the report about a failed schedule: performs it twice more under tracing, and compares the
ways and the variables of its ranks."""

from __future__ import annotations

from collections.abc import Sequence
from types import FrameType

from adpkv.rank_programs.choices import Recorded
from adpkv.rank_programs.classify import Diagnosis, Kind
from adpkv.rank_programs.evidence import Place, place_of
from adpkv.rank_programs.parting import Branch, Entry, Parting, branch_of, first_parted
from adpkv.rank_programs.report import Why
from adpkv.rank_programs.session import Session
from adpkv.rank_programs.tracing import Path, Step, Trace
from adpkv.rank_programs.variables import read, words_of

__all__ = ["reason_of"]

_NOT_COMPARED = (
    Kind.SPIN,
    Kind.HANG,
    Kind.OUTSIDE,
    Kind.UNWAITED_OPERATION,
    Kind.UNRECEIVED_MESSAGE,
)


def reason_of(session: Session, choices: Sequence[int], diagnosis: Diagnosis) -> Why | None:
    """Where the odd rank and the others took different ways, and the variables that differ there;
    None where they cannot be compared."""
    if not diagnosis.odd or not diagnosis.others or diagnosis.kind in _NOT_COMPARED:
        return None
    first = Trace(session.files)
    _perform(session, choices, first)
    odd, other = diagnosis.odd[0], diagnosis.others[0]
    mine, theirs = first.paths[odd], first.paths[other]
    if diagnosis.group >= 0:
        parting = first_parted(mine, theirs, diagnosis.group, diagnosis.position)
    else:
        parting = Parting(0, None, None)
    branch = _branch(mine, theirs, parting)
    if branch is None:
        return None
    second = Trace(session.files, first, branch.step, _read)
    _perform(session, choices, second)
    return _why(diagnosis, parting, branch, first, second)


def _perform(session: Session, choices: Sequence[int], trace: Trace) -> None:
    session.perform(Recorded(choices), prepare=trace.prepare, around=trace.around)
    trace.forget_frames()


def _branch(mine: Path, theirs: Path, parting: Parting) -> Branch | None:
    odd, other = parting.odd, parting.other
    if odd is not None and other is not None and odd[2] is other[2] and odd[2] is not None:
        # In the same place, with something else in their hands.
        return Branch(odd[2], None, None)
    return branch_of(mine, theirs, parting)


def _read(frame: FrameType) -> dict[str, str]:
    return read(frame)


def _why(
    diagnosis: Diagnosis, parting: Parting, branch: Branch, first: Trace, second: Trace
) -> Why:
    step = branch.step
    code = step.code
    odd = diagnosis.odd[0]
    there = [rank for rank in diagnosis.odd if any(s is step for s in first.paths[rank].steps)]
    alike = tuple(rank for rank in there if _went(first.paths[rank], step, branch) is branch.odd)
    group = (*diagnosis.odd, *diagnosis.others)
    values = {rank: second.paths[rank].values for rank in group}
    return Why(
        file=code.co_filename,
        line=step.line,
        function=code.co_qualname,
        odd=odd,
        other=diagnosis.others[0],
        parted=parting.position,
        odd_next=_line(branch.odd, step),
        others_next=_line(branch.others, step),
        alike=alike or (odd,),
        like_other=tuple(
            rank for rank in group if _went(first.paths[rank], step, branch) is branch.others
        ),
        variables=tuple(_differing(values, alike or (odd,), step)),
        odd_there=_place(parting.odd),
        other_there=_place(parting.other),
    )


def _went(path: Path, step: Step, branch: Branch) -> Step | None:
    if branch.odd is None and branch.others is None:
        return None
    for place, found in enumerate(path.steps):
        if found is step:
            return path.steps[place + 1] if place + 1 < len(path.steps) else None
    return None


def _line(following: Step | None, step: Step) -> int:
    """The line that follows in the same function; 0 where the rank left it."""
    if following is None or following.code is not step.code:
        return 0
    return following.line


def _place(entry: Entry | None) -> Place | None:
    return None if entry is None else place_of(entry[0])


def _differing(
    values: dict[int, dict[str, str]], odd: Sequence[int], step: Step
) -> list[tuple[str, dict[int, str]]]:
    """The variables in which the odd ranks differ from all others: first those that the line reads,
    then those on which the others agree."""
    read_here = words_of(step.code.co_filename, step.line)
    names = list(dict.fromkeys(name for rank in odd for name in values[rank]))
    found = []
    for name in names:
        each = {rank: known[name] for rank, known in values.items() if name in known}
        ours = {each[rank] for rank in odd if rank in each}
        theirs = {text for rank, text in each.items() if rank not in odd}
        if not ours or not theirs or ours & theirs:
            continue
        here = read_here.index(name) if name in read_here else len(read_here)
        if name not in read_here and len(set(each.values())) == len(each) > 2:
            continue  # what differs on each rank, such as its number, tells nothing by itself
        if len(theirs) > 1 and name not in read_here:
            here += 1
        found.append((here, name, dict(sorted(each.items()))))
    found.sort(key=lambda entry: entry[0])
    return [(name, each) for _, name, each in found]
