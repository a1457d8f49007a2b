"""Places of a program, and operations, as a report names them."""

from __future__ import annotations

import os

from adpkv.rank_programs.evidence import Place

__all__ = ["operation_text", "short", "where"]


def where(place: Place) -> str:
    """`worker.py:91`, with the path as seen from the current folder."""
    if not place.file:
        return "outside the program"
    return f"{short(place.file)}:{place.line}"


def short(file: str) -> str:
    """A path as seen from the current folder, where that is shorter."""
    seen = os.path.relpath(file)
    return seen if len(seen) < len(file) else file


def operation_text(place: Place, *, numbered: bool = True) -> str:
    """`all_reduce #4 ([4] float32, SUM)`."""
    number = f" #{place.position}" if numbered and place.position else ""
    return f"{place.kind}{number}" + (f" ({place.text})" if place.text else "")
