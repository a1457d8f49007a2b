"""How many of what, in words: one rank, two ranks."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str) -> str:
    """`1 rank`, `2,000 ranks`; the plural of `noun` is made with an s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
