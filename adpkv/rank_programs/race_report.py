"""What is said of receives that could have taken another message: for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from adpkv.counting import counted
from adpkv.output.tables import wrapped
from adpkv.rank_programs.evidence import Place
from adpkv.rank_programs.races import Race, Rival
from adpkv.rank_programs.sites import operation_text, short, where
from adpkv.rank_programs.variables import line_of

__all__ = ["race_values", "told_races"]

MOST_RACES: Final = 3
MOST_RIVALS: Final = 4


def told_races(races: Sequence[Race], columns: int | None) -> list[str]:
    """The lines of the report; none where there was no race."""
    lines = []
    for race in races[:MOST_RACES]:
        source = line_of(race.at.file, race.at.line)
        told = f"rank {race.receiver}: {operation_text(race.at)} at {where(race.at)}: {source}"
        lines += wrapped(told, columns, "  ")
        lines += wrapped(f"took {_of(race.took)}", columns, "      ", "  ")
        for rival in race.others[:MOST_RIVALS]:
            plain = ", as in the plain schedule, which ends well"
            told = f"could have taken {_of(rival)}{plain if rival.sender == race.plain else ''}"
            lines += wrapped(told, columns, "      ", "  ")
        if len(race.others) > MOST_RIVALS:
            lines.append(f"      or that of {counted(len(race.others) - MOST_RIVALS, 'more rank')}")
    if len(races) > MOST_RACES:
        lines.append(f"  and {counted(len(races) - MOST_RACES, 'more receive')} in --json")
    return lines


def _of(rival: Rival) -> str:
    at = rival.at
    return f"rank {rival.sender}'s, of {where(at)}: {line_of(at.file, at.line)}"


def race_values(race: Race) -> dict[str, Any]:
    """For programs."""
    return {
        "rank": race.receiver,
        **_place_values(race.at),
        "took": {"rank": race.took.sender, **_place_values(race.took.at)},
        "could_have_taken": [
            {"rank": rival.sender, **_place_values(rival.at)} for rival in race.others
        ],
        "plain_took_rank": race.plain,
    }


def _place_values(at: Place) -> dict[str, Any]:
    return {
        "operation": operation_text(at),
        "file": short(at.file),
        "line": at.line,
        "source": line_of(at.file, at.line),
    }
