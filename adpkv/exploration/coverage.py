"""What an exploration has reached how often, and what never: clauses of the contract, lines of both
session tables, kinds of faults in their phases, answers to cancels, causes of shutdown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from adpkv.config.fault_kinds import KINDS
from adpkv.core.cancel import TransferCancelResult
from adpkv.core.session import TABLES, Event, Role, State
from adpkv.exploration.clauses import CLAUSES

__all__ = ["NOT_HERE", "Coverage", "Share"]


NOT_HERE: Final[Mapping[str, str]] = {
    TransferCancelResult.NOT_FOUND.value: "a rank does not ask about a request without a session",
    TransferCancelResult.NOT_CANCELLABLE.value: "a virtual link can end a transfer early",
}
"""The answers to cancels that no run of the virtual world gets, and why. A custom transport may
change that, so they count as what can be reached."""


@dataclass(frozen=True, slots=True)
class Share:
    """How much of something was reached."""

    reached: int
    of: int

    def __str__(self) -> str:
        return f"{self.reached}/{self.of}"


@cache
def _pattern(beginning: str) -> re.Pattern[str]:
    return re.compile(re.escape(beginning).replace(r"\*", "[^:]*"))


class Coverage:
    """The facts of all runs, counted."""

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self.counts: Counter[str] = Counter(counts or {})

    def add(self, counts: Mapping[str, int]) -> None:
        """The facts of further runs."""
        self.counts.update(counts)

    def line(self, role: Role, state: State, event: Event) -> int | None:
        """How often this line of a session table was used; None for one that cannot be."""
        if TABLES[role][state][event] is None:
            return None
        return self.counts[f"line:{role.value}:{state.value}:{event.value}"]

    def lines(self, role: Role) -> dict[tuple[State, Event], int]:
        """All lines of a table that can be used."""
        found = {}
        for state, events in TABLES[role].items():
            for event in events:
                count = self.line(role, state, event)
                if count is not None:
                    found[state, event] = count
        return found

    def clauses(self, *, is_counted: bool = True) -> list[tuple[str, str, int | None]]:
        """(number, what it is about, how often it was shown); None for one that only lines and
        answers show, where these were not counted."""
        return [
            (
                clause.number,
                clause.about,
                sum(map(self._beginning, clause.shown_by))
                if is_counted or not clause.is_ruled
                else None,
            )
            for clause in CLAUSES
        ]

    def _beginning(self, beginning: str) -> int:
        matches = _pattern(beginning).match
        return sum(count for fact, count in self.counts.items() if matches(fact))

    def faults(self) -> dict[tuple[str, str], int]:
        """(kind, phase) of all there are, and how often they fired."""
        found = {}
        for name, kind in KINDS.items():
            for phase in kind.phases or ("",):
                at = phase
                found[name, phase] = self.counts[f"fault:{name}:{at}"]
            if name == "skew":  # it shows in whatever phase comes first
                found[name, ""] = self._beginning("fault:skew:")
        return found

    def answers(self) -> dict[str, int]:
        """The six answers to a cancel."""
        return {one.value: self.counts[f"answer:{one.value}"] for one in TransferCancelResult}

    def stops(self) -> dict[str, int]:
        """Why groups stopped."""
        return {
            fact.removeprefix("stop:"): count
            for fact, count in sorted(self.counts.items())
            if fact.startswith("stop:")
        }

    @property
    def observed(self) -> bool:
        """Whether lines of the tables and answers to cancels were counted: under a policy they are
        not."""
        return any(fact.startswith("line:") for fact in self.counts)

    def shares(self, *, is_counted: bool = True) -> dict[str, Share]:
        """Each of the tables in two numbers; of the clauses those that are counted."""
        clauses = self.clauses(is_counted=is_counted)
        return {
            "clauses": _share(count for _, _, count in clauses if count is not None),
            "receiver_lines": _share(self.lines(Role.RECEIVER).values()),
            "sender_lines": _share(self.lines(Role.SENDER).values()),
            "faults": _share(self.faults().values()),
            "cancel_answers": _share(self.answers().values()),
        }

    def data(self) -> dict[str, Any]:
        """As `explore.json` has it."""
        return {
            "reached": {name: [one.reached, one.of] for name, one in self.shares().items()},
            "clauses": [
                {"clause": number, "about": about, "count": count}
                for number, about, count in self.clauses()
            ],
            "session_lines": {
                role.value: {
                    f"{state.value}:{event.value}": count
                    for (state, event), count in self.lines(role).items()
                }
                for role in Role
            },
            "faults": {f"{kind}:{phase}": n for (kind, phase), n in self.faults().items()},
            "cancel_answers": self.answers(),
            "stops": self.stops(),
        }


def _share(counts: Any) -> Share:
    found = list(counts)
    return Share(sum(count > 0 for count in found), len(found))
