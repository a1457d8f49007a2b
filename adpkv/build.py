"""Which build of adpkv runs: plain Python, or with its hot modules compiled by mypyc."""

from __future__ import annotations

from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from typing import Final, Literal

__all__ = ["build"]

COMPILED_IF: Final = "adpkv.core.admission"
"""The compiled modules are in a wheel together, or none of them is."""


@cache
def build() -> Literal["python", "compiled"]:
    """Looks where a module of the core would come from; imports none."""
    spec = find_spec(COMPILED_IF)
    origin = "" if spec is None or spec.origin is None else spec.origin
    return "compiled" if origin.endswith(tuple(EXTENSION_SUFFIXES)) else "python"
