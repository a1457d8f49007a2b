"""Names of what somebody else has written: a type for the name, and a section whose other keys are
parameters of what is named."""

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
"""The tag of a section of a kind that is not ours."""

NOT_INSTALLED: Final = {"not installed": True}
"""The context in which an entry point that is not there is no mistake: what a run left behind can
be read where the package is gone."""


def name_of(slot: Slot) -> tuple[Any, ...]:
    """What `Annotated[str, *name_of(slot)]` needs to be the name of something that is there."""

    def known(name: str, info: ValidationInfo) -> str:
        if info.context is not NOT_INSTALLED:
            check_name(slot, name)
        return name

    return Strict(), AfterValidator(known), WithJsonSchema(_name_schema(slot))


def _name_schema(slot: Slot) -> dict[str, Any]:
    """JSON Schema of a key that takes a name: ours, for editors to complete, or another's."""
    return {"anyOf": [{"enum": list(slot.ours)}, {"type": "string", "pattern": NAME_PATTERN}]}


def kind_schema(slot: Slot) -> dict[str, Any]:
    """JSON Schema of the kind of a `CustomSection`, so that no section of ours fits it."""
    return {"type": "string", "pattern": NAME_PATTERN, "not": {"enum": list(slot.ours)}}


def kind_of(slot: Slot, default: str | None = None) -> Callable[[Any], str | None]:
    """Which section of a union it is; None where no kind is said, or none that is a name."""

    def tag(section: Any) -> str | None:
        if not isinstance(section, Mapping | Section):
            return slot.ours[0]  # any of them says that it is no section
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
    """A section whose other keys are the factory's parameters: plain data, as YAML has it."""

    model_config = ConfigDict(extra="allow")

    kind: str

    @property
    def parameters(self) -> dict[str, Any]:
        """What the factory is to be called with; a copy."""
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
