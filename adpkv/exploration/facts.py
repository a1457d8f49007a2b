"""What a run has reached, as facts: words that can be counted over many runs.

`line:ROLE:STATE:EVENT`, `answer:OUTCOME`, `fault:KIND:PHASE`, `stop:CODE:CAUSE`, `ended:OUTCOME`,
`health:REASON`, `event:KIND`, `survived:COLLECTIVE`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from adpkv.core.cancel import TransferCancelResult, cancel_answer
from adpkv.core.rules import Rules
from adpkv.core.session import TABLES, Event, Line, Role, State, Table
from adpkv.core.values import Outcome
from adpkv.exploration.oracles import Event as RunEvent

__all__ = ["ObservedTables", "facts_of", "pairs_of"]

_NUMBERS: Final = re.compile(r"\d+")
_STATES: Final = frozenset(state.value for state in State)
_COUNTED: Final = {
    kind: f"event:{kind}"
    for kind in (
        *("client_cancel", "refused", "rank_lost", "recomputed", "prefill_began", "reused"),
        "violation",
    )
}
_OUTCOMES: Final = {outcome: f"ended:{outcome.value}" for outcome in Outcome}


class _Row(dict[Event, Line | None]):
    """The lines of one state, that counts each look."""

    def __init__(self, counts: Counter[str], named: str, lines: dict[Event, Line | None]) -> None:
        super().__init__()
        self._counts, self._lines = counts, lines
        self._names = {event: f"{named}:{event.value}" for event in lines}

    def __missing__(self, event: Event) -> Line | None:
        self._counts[self._names[event]] += 1
        return self._lines[event]


class ObservedTables:
    """Rules that count which lines of their tables are used, and what cancels are answered."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.rules = Rules(
            tables={role: self._observed(role) for role in Role}, cancel_answer=self._answer
        )

    def _answer(
        self, state: State | None, is_healthy: bool, can_withdraw: bool
    ) -> TransferCancelResult:
        answer = cancel_answer(state, is_healthy, can_withdraw)
        self.counts[f"answer:{answer.value}"] += 1
        return answer

    def _observed(self, role: Role) -> Table:
        return {
            state: _Row(self.counts, f"line:{role.value}:{state.value}", lines)
            for state, lines in TABLES[role].items()
        }


def facts_of(events: Sequence[RunEvent]) -> Counter[str]:
    """The facts that the events of a run tell."""
    found: Counter[str] = Counter()
    for _, rank, kind, _, detail in events:
        if kind in _STATES:
            continue
        counted = _COUNTED.get(kind)
        if counted is not None:
            found[counted] += 1
        elif kind == "ended":
            if rank < 0:
                found[_OUTCOMES[detail["outcome"]]] += 1
        elif kind == "fault":
            found[f"fault:{detail['fault']}:{detail['phase']}"] += 1
        elif kind == "stopping":
            cause = _NUMBERS.sub("N", str(detail["detail"]))
            found[f"stop:{int(detail['code'])}:{cause}"] += 1
        elif kind == "health":
            for reason in detail["reasons"]:
                found[f"health:{reason}"] += 1
        elif kind == "survived":
            found[f"survived:{detail['kind_there']}"] += 1
    return found


def pairs_of(events: Sequence[RunEvent]) -> set[str]:
    """Which changes followed each other on different ranks at one instant or next to each other:
    finer than the other facts, and only what `guided` goes by."""
    found: set[str] = set()
    before: tuple[int, Any] | None = None
    for _, rank, kind, _, detail in events:
        now = (rank, detail.get("cause", "") if kind in _STATES else kind)
        if before is not None and before[0] != rank:
            found.add(f"pair:{before[1]}>{now[1]}")
        before = now
    return found
