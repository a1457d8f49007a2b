"""What is said of messages that nobody has received: why a receive did not take them, and that
they are left at the end."""

from __future__ import annotations

from typing import Final

from adpkv.counting import counted
from adpkv.rank_programs.evidence import Evidence, LetterView, SoughtView
from adpkv.rank_programs.sites import operation_text, where
from adpkv.rank_programs.variables import line_of

__all__ = ["near_misses", "unreceived"]

MOST: Final = 3
"""Messages in one sentence."""


def near_misses(evidence: Evidence) -> str:
    """The messages that ranks got which wait for one, and why they do not take them: `; what rank
    1 has sent ...`, or nothing."""
    told = []
    for sought in evidence.sought:
        if evidence.ranks[sought.receiver].state != "waits":
            continue
        found = [(_unlike(evidence, sought, one), one) for one in evidence.letters]
        fits = [(why, one) for why, one in found if one.receiver == sought.receiver and why]
        fewest = min((len(why) for why, _ in fits), default=0)
        told += [_told(one, why) for why, one in fits if len(why) == fewest]
    more = f"; and {len(told) - MOST} more" if len(told) > MOST else ""
    return "".join(f"; {text}" for text in dict.fromkeys(told[:MOST])) + more


def _unlike(evidence: Evidence, sought: SoughtView, letter: LetterView) -> list[str]:
    """In what a message is not what a rank waits for."""
    found = []
    if sought.tag not in (None, letter.tag):
        found.append(f"has tag {letter.tag}, and not {sought.tag}")
    if sought.sender not in (None, letter.sender):
        found.append(f"is of rank {letter.sender}, and not of rank {sought.sender}")
    if sought.group != letter.group:
        names = evidence.name(letter.group), evidence.name(sought.group)
        found.append(f"is in {names[0]}, and not in {names[1]}")
    return found


def _told(letter: LetterView, why: list[str]) -> str:
    told = f"what rank {letter.sender} has sent rank {letter.receiver} at {where(letter.at)}"
    return f"{told} {', '.join(why)}"


def unreceived(evidence: Evidence) -> str:
    """The sentence about messages that are left when all programs have returned."""
    first, *rest = evidence.letters
    source = line_of(first.at.file, first.at.line)
    told = (
        f"rank {first.receiver} never received what rank {first.sender} has sent it:"
        f" {operation_text(first.at)} at {where(first.at)}" + (f" ({source})" if source else "")
    )
    more = f"; nor were {counted(len(rest), 'other message')} received" if rest else ""
    posted = [one for one in evidence.sought if one.receiver == first.receiver]
    for sought in posted[:1]:
        why = _unlike(evidence, sought, first)
        if why:
            told += f"; its {operation_text(sought.at)} at {where(sought.at)} does not take it: "
            told += f"it {', '.join(why)}"
    return told + more
