"""How a report names ranks, the same everywhere in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["MOST_SPANS", "listed", "named", "verb"]


MOST_SPANS: Final = 8
"""Spans in a list of ranks; more would tell a reader nothing. `deadlock.json` lists all ranks."""


def named(ranks: Iterable[int]) -> str:
    """`rank 3`, `ranks 0, 1, 3`, `ranks 0-511, 513`; three in a row or more make a span."""
    found = sorted(ranks)
    if not found:
        return "no rank"
    return f"{'rank' if len(found) == 1 else 'ranks'} {listed(found)}"


def listed(ranks: Iterable[int]) -> str:
    """The same without the noun."""
    spans: list[list[int]] = []
    for rank in sorted(ranks):
        if spans and spans[-1][-1] == rank - 1:
            spans[-1].append(rank)
        else:
            spans.append([rank])
    parts = []
    for span in spans:
        parts += [f"{span[0]}-{span[-1]}"] if len(span) > 2 else [str(rank) for rank in span]
    if len(parts) > MOST_SPANS:
        count = sum(map(len, spans))
        parts[MOST_SPANS - 1 :] = [f"... ({count} in all)"]
    return ", ".join(parts)


def verb(ranks: Iterable[int], one: str, many: str) -> str:
    """The ranks with the verb in the right number: `rank 3 is`, `ranks 3, 4 are`."""
    found = list(ranks)
    return f"{named(found)} {one if len(found) == 1 else many}"
