"""The `topology.servers` list: what differs on some instances from the others of their kind.

Everything else stays the experiment's: an instance has one set of ranks, pools and costs, and KV
has the same shape everywhere, or it could not be transferred.
"""

from dataclasses import fields, replace
from typing import Any

from pydantic import Field

from adpkv.config.base import Count, Duration, FineDuration, Natural, Section, Text
from adpkv.core.step_cost import Costs

__all__ = ["COSTS", "COST_FIELDS", "ServerConfig"]

COSTS = ("step_base", "per_prefill_token", "per_prefill_pair", "per_sequence", "per_context_token")
"""The keys of a server's costs, in the order of `Costs`."""

COST_FIELDS = {f"{key}_ns": one.name for key, one in zip(COSTS, fields(Costs), strict=True)}
"""From the attribute of a section to that of `Costs`."""


def _cost(key: str) -> Any:
    return Field(default=None, alias=key, description=f"in place of `model.{key}`")


class ServerConfig(Section):
    """Instances that differ from the others. What is left out is as it is for all."""

    instances: tuple[Natural, ...] = Field(
        description="which ones, by the number in their names: context instances from 0, then "
        "generation"
    )
    ranks: Count | None = Field(default=None, description="ranks of each of them")
    blocks: int | None = Field(
        default=None,
        strict=True,
        ge=2,
        le=1 << 24,
        description="KV blocks per rank, in place of `kv_cache.blocks`",
    )
    preset: Text | None = Field(
        default=None,
        description="as `model.preset`, for the costs that are left out here; the KV has the shape "
        "that `model` has",
    )
    step_base_ns: Duration | None = _cost("step_base")
    per_prefill_token_ns: FineDuration | None = _cost("per_prefill_token")
    per_prefill_pair_ns: FineDuration | None = _cost("per_prefill_pair")
    per_sequence_ns: FineDuration | None = _cost("per_sequence")
    per_context_token_ns: FineDuration | None = _cost("per_context_token")

    @property
    def own_costs(self) -> dict[str, Any]:
        """The coefficients that are given here, by their names in `Costs`."""
        given = {name: getattr(self, attribute) for attribute, name in COST_FIELDS.items()}
        return {name: value for name, value in given.items() if value is not None}

    def costs(self, others: Costs) -> Costs:
        """The coefficients of these instances; `others` are the experiment's."""
        return replace(others, **self.own_costs)
