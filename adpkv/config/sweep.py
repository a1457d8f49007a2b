"""The `sweep` section: which settings `adpkv sweep` varies, and what it looks for among them.

`adpkv run` and `adpkv simulate` read the section, check it, and leave it alone.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from adpkv.config.axes import parse_axis
from adpkv.config.base import Count, Section, Text

__all__ = ["Design", "SweepConfig"]

Design = Literal["grid", "random", "latin"]

_VARY_SCHEMA: Final = {
    "type": "object",
    "patternProperties": {".": {"type": ["array", "string", "number", "boolean"], "minItems": 1}},
}


def _axis(given: Any) -> Any:
    parse_axis("", given)  # its ValueError is the problem that is shown
    return given


class SweepConfig(Section):
    """What `adpkv sweep` varies: each point is the experiment with other values at some paths."""

    vary: Annotated[
        dict[str, Annotated[Any, AfterValidator(_axis)]], WithJsonSchema(_VARY_SCHEMA)
    ] = Field(
        default_factory=dict,
        description="the axes: from a path such as `transceiver.transfer_timeout` to a list of "
        "values, a range (`512..4096*2`, `10..50+10`) or a span to draw from (`1s..20s`, "
        "`1ms..1s log`)",
    )
    zip: tuple[tuple[Text, ...], ...] = Field(
        default=(), description="groups of axes that go together: first with first, and so on"
    )
    design: Design = Field(
        default="grid",
        description="`grid`: every combination; `random`: drawn at random; `latin`: drawn so that "
        "each axis is covered evenly (Latin hypercube)",
    )
    points: Count | None = Field(
        default=None, description="how many points are drawn; null: of a grid all"
    )
    seeds: Count = Field(
        default=1, description="each point is run with so many seeds, from the experiment's own on"
    )
    optimize: tuple[Text, ...] = Field(
        default=(),
        max_length=3,
        description="what is looked for, such as `max goodput` and `min ttft_p99`: then points are "
        "chosen by what the ones before have shown",
    )
    subject_to: tuple[Text, ...] = Field(
        default=(), description="what the winner must keep, such as `error_rate < 0.01`"
    )
