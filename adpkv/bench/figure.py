"""One measured figure: its value, the reference beside it, and what was aimed for."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Figure", "Target", "figure"]


class Target(msgspec.Struct, frozen=True):
    """A bound on a figure's value, or on its ratio to the reference."""

    of: Literal["value", "ratio"]
    sense: Literal["<=", ">="]
    bound: float

    def is_met(self, found: float) -> bool:
        """Whether `found` keeps within the bound."""
        return found <= self.bound if self.sense == "<=" else found >= self.bound

    def __str__(self) -> str:
        return f"{self.of} {self.sense} {self.bound:,g}"


class Figure(msgspec.Struct, frozen=True):
    """A line of the table. `ratio` is always value / reference; None is `not measured`."""

    name: str
    value: float
    unit: str
    reference: float | None = None
    reference_name: str = ""
    ratio: float | None = None
    target: str = ""
    met: bool | None = None
    note: str = ""


def figure(
    name: str,
    value: float,
    unit: str,
    *,
    reference: float | None = None,
    against: str = "",
    target: Target | None = None,
    note: str = "",
) -> Figure:
    """A figure with its ratio and its result worked out."""
    ratio = value / reference if reference else None
    met = None
    if target is not None:
        found = value if target.of == "value" else ratio
        met = target.is_met(found) if found is not None else None
    return Figure(
        name=name,
        value=value,
        unit=unit,
        reference=reference,
        reference_name=against,
        ratio=ratio,
        target="" if target is None else str(target),
        met=met,
        note=note,
    )
