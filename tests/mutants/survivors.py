"""Mutations that nothing can notice, by their name, each with the reason."""

from __future__ import annotations

from typing import Final

__all__ = ["ARGUED"]

ARGUED: Final[dict[str, str]] = {}
