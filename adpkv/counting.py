"""How many of what, in words: one rank, two ranks."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str) -> str:
    """`1 rank`, `2,000 ranks`, `2 switches`; for nouns whose plural is made with an s."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}{'es' if noun.endswith(('ch', 's', 'x')) else 's'}"
