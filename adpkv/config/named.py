"""Types for names of custom implementations, and a section that has their parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Strict,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from adpkv.config.base import Section
from adpkv.plugins import NAME_PATTERN, Slot, check_name

__all__ = ["CUSTOM", "NOT_INSTALLED", "CustomSection", "kind_of", "kind_schema", "name_of"]

CUSTOM: Final = "custom"
"""pydantic's tag for a section of a custom kind."""

NOT_INSTALLED: Final = {"not installed": True}
"""The validation context in which a missing entry point is no error: a run's folder can be read
after the package was removed."""


def name_of(slot: Slot) -> tuple[Any, ...]:
    """The annotations of a key that takes a name: `Annotated[str, *name_of(slot)]`. They check that
    the name is known (`plugins.check_name`)."""

    def known(name: str, info: ValidationInfo) -> str:
        if info.context is not NOT_INSTALLED:
            check_name(slot, name)
        return name

    return Strict(), AfterValidator(known), WithJsonSchema(_name_schema(slot))


def _name_schema(slot: Slot) -> dict[str, Any]:
    """JSON Schema of a key that takes a name. Editors complete adpkv's own names."""
    return {"anyOf": [{"enum": list(slot.ours)}, {"type": "string", "pattern": NAME_PATTERN}]}


def kind_schema(slot: Slot) -> dict[str, Any]:
    """JSON Schema of the `kind` of a `CustomSection`, which excludes adpkv's own kinds."""
    return {"type": "string", "pattern": NAME_PATTERN, "not": {"enum": list(slot.ours)}}


def kind_of(slot: Slot, default: str | None = None) -> Callable[[Any], str | None]:
    """A discriminator for a union of sections: from a section to its kind's tag. None if there is
    no `kind` and no default, or the kind is not a text."""

    def tag(section: Any) -> str | None:
        if not isinstance(section, Mapping | Section):
            return slot.ours[0]  # any kind will report that this is not a section
        kind = (
            section.get("kind", default)
            if isinstance(section, Mapping)
            else getattr(section, "kind", None)
        )
        if not isinstance(kind, str):
            return None
        return kind if kind in slot.ours else CUSTOM

    return tag


class CustomSection(Section):
    """A section whose other keys are parameters of its factory: plain YAML data."""

    model_config = ConfigDict(extra="allow")

    kind: str

    @property
    def parameters(self) -> dict[str, Any]:
        """The keyword arguments for the factory; a copy."""
        return {key: _copied(value) for key, value in (self.model_extra or {}).items()}

    @model_validator(mode="after")
    def _plain(self) -> Self:
        for key, value in (self.model_extra or {}).items():
            if not _is_plain(value):
                raise ValueError(
                    f"has parameters that YAML cannot say: {key} must be made of text, numbers,"
                    " true, false, null, lists and mappings"
                )
        return self


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(one) for key, one in value.items()}
    return [_copied(one) for one in value] if isinstance(value, list | tuple) else value
