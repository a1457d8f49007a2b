"""The base of what structures of msgspec become in the compiled build, where they stay inside a
process (`launch/native_values.py`): native classes with the same fields, in the same words."""

from __future__ import annotations

from typing import Any, ClassVar

from adpkv.subclassing import mypyc_attr

__all__ = ["NativeValue"]


@mypyc_attr(native_class=True, acyclic=True)
class NativeValue:
    """The base of these classes. `__init__` is made for each of them."""

    __match_args__: ClassVar[tuple[str, ...]] = ()
    """The names of its fields, in order."""
    __frozen__: ClassVar[bool] = False
    """Whether nobody may assign them; only then has it a hash."""

    def fields(self) -> tuple[Any, ...]:
        """Its fields, in order."""
        return tuple([getattr(self, name) for name in type(self).__match_args__])

    def __repr__(self) -> str:
        """As msgspec has it."""
        named = zip(type(self).__match_args__, self.fields(), strict=True)
        return f"{type(self).__name__}({', '.join([f'{name}={value!r}' for name, value in named])})"

    def __eq__(self, other: object) -> bool:
        """Of the same class, and all fields are equal."""
        if self is other:
            return True
        if not isinstance(other, NativeValue) or type(self) is not type(other):
            return False
        return self.fields() == other.fields()

    def __hash__(self) -> int:
        """Equal ones have equal hashes, as long as they stay equal.

        Raises:
            TypeError: it may change.
        """
        kind = type(self)
        if not kind.__frozen__:
            raise TypeError(f"unhashable type: '{kind.__name__}'")
        return hash(self.fields())
