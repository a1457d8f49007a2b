"""Why the odd ranks went elsewhere: what they alone knew, beside what the others knew."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from adpkv.diagnosis.evidence import Evidence, Standing
from adpkv.diagnosis.judging import Verdict

__all__ = ["MOST_DIFFERENCES", "Difference", "differences"]

MOST_DIFFERENCES = 6
"""The rest is told by `deadlock.json`."""

Value = int | str | bool


class Difference(msgspec.Struct, frozen=True):
    """A value that is otherwise on the odd ranks."""

    name: str
    odd: tuple[Value, ...]
    """What the odd ranks have, each value once."""
    others: tuple[Value, ...]
    clear: bool
    """Do the others agree among themselves?"""


def differences(evidence: Evidence, verdict: Verdict) -> list[Difference]:
    """The values in which the outliers differ from all others, those on which the others agree
    first; each kind in order of weight. Ranks of an ADP group differ in much that is nobody's
    fault, such as their load."""
    by_rank = {standing.rank: standing for standing in evidence.standings}
    odd = [by_rank[rank] for rank in verdict.outliers if by_rank[rank].values]
    others = [by_rank[rank] for rank in verdict.others if by_rank[rank].values]
    if not odd or not others:
        return []
    found = []
    for name in odd[0].values:
        ours, theirs = _values(odd, name), _values(others, name)
        if ours and theirs and not set(ours) & set(theirs):
            found.append(Difference(name, ours, theirs, clear=len(theirs) == 1))
    return sorted(found, key=lambda difference: not difference.clear)


def _values(standings: Sequence[Standing], name: str) -> tuple[Value, ...]:
    """Each value once, in order."""
    found = {standing.values[name] for standing in standings if name in standing.values}
    return tuple(sorted(found, key=lambda value: (str(type(value)), value)))
