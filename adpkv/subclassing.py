"""Lets plain Python subclass a class that mypyc has compiled, and override its methods.

`@mypyc_attr(allow_interpreted_subclasses=True)` on a class says that policies, tests or users do
so. It is mypyc's own decorator, known by its name. Without a compiler it changes nothing, so the
package that it comes from is not needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

__all__ = ["mypyc_attr"]

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:
    T = TypeVar("T")

    def mypyc_attr(**_told: bool) -> Callable[[T], T]:
        """Change nothing."""
        return lambda one: one
