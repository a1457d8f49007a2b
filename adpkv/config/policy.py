"""The `policy` section: former behaviour of real systems in place of the contract's.

Each key is one question on which systems have differed. Its first value is the contract's answer
and the default; `adpkv/field_policies` implements the others.
"""

from functools import cached_property
from typing import Literal

from pydantic import Field

from adpkv.config.base import Section

__all__ = ["PolicyConfig"]


class PolicyConfig(Section):
    """Historical policies in place of the contract's rules, to reproduce their failures."""

    on_timeout: Literal["quarantine", "free", "fail_close"] = Field(
        default="quarantine",
        description="after a transfer's deadline: quarantine its blocks; free them; or stop",
    )
    poll: Literal["every_iteration", "blocking", "gated"] = Field(
        default="every_iteration",
        description="look and return; wait for one transfer; or poll together if nothing fits",
    )
    responses: Literal["flush", "owner"] = Field(
        default="flush", description="who joins the gather of responses: all ranks; or owners only"
    )
    errors: Literal["staged", "local"] = Field(
        default="staged", description="a failure is reported at the flush; or by its rank alone"
    )
    invalid_requests: Literal["agreed", "local"] = Field(
        default="agreed", description="refused by the plan; or by the rank that finds it, alone"
    )
    deadline_from: Literal["began", "advertise", "admission"] = Field(
        default="began",
        description="from when a transfer's deadline counts: its sender begins; the receiver "
        "advertises; or its request was admitted",
    )
    shutdown: Literal["agreed", "local"] = Field(
        default="agreed", description="an unhealthy rank proposes to stop; or leaves"
    )
    health: Literal["progress", "budget"] = Field(
        default="progress", description="unhealthy is a standstill; or whatever is over its budget"
    )
    late_success: Literal["released", "revives"] = Field(
        default="released", description="a late end frees the blocks; or revives the request"
    )
    cancel: Literal["structured", "boolean"] = Field(
        default="structured", description="what cannot be cancelled is asked again; or forgotten"
    )
    dummy: Literal["reserved", "asserted"] = Field(
        default="reserved", description="the block of an idle rank's dummy is reserved; or assumed"
    )
    idle_wait: Literal["bounded", "unbounded"] = Field(
        default="bounded",
        description="how long the leader waits for messages when nothing computes",
    )
    reap: Literal["always", "when_scheduled"] = Field(
        default="always", description="transfers are polled in each iteration; or after a step only"
    )
    handles: Literal["all", "first_failure"] = Field(
        default="all", description="a transfer is over when all parts ended; or when one failed"
    )
    generation: Literal["checked", "ignored"] = Field(
        default="checked",
        description="a message about an earlier attempt of an id is dropped; or taken",
    )
    connection_epoch: Literal["checked", "ignored"] = Field(
        default="checked", description="a lost peer's transfers stay in doubt until fenced; or not"
    )
    watch: Literal["everybody", "nobody"] = Field(
        default="everybody", description="who notices that a rank has failed"
    )
    quarantine: Literal["bounded", "unbounded"] = Field(
        default="bounded", description="too long in quarantine makes a rank unhealthy; or not"
    )
    release: Literal["proof", "trusted"] = Field(
        default="proof",
        description="a withdrawn send is over when that is proven; or when its handle is released",
    )
    failure_memory: Literal["kept", "none"] = Field(
        default="kept",
        description="a rank whose last transfers failed is avoided; or gets most, as it is free",
    )

    reduce: Literal["all", "own"] = Field(
        default="all",
        description="without ADP, all replicas act on one vote; or each on its own",
    )

    routing: Literal["late", "blind"] = Field(
        default="late",
        description="a request is bound to a rank that has room for it; or at once, by its tokens",
    )

    reuse: Literal["pinned", "unpinned"] = Field(
        default="pinned",
        description="cached blocks that a request reads are kept from others; or not",
    )
    full_hit: Literal["told", "silent"] = Field(
        default="told",
        description="a sender is told that its receiver has all of the KV; or hears nothing",
    )

    def historical(self) -> dict[str, str]:
        """The keys whose values differ from the contract's, with these values."""
        return dict(self._historical)

    @cached_property
    def _historical(self) -> dict[str, str]:
        fields = type(self).model_fields
        chosen = {name: getattr(self, name) for name in fields}
        return {name: value for name, value in chosen.items() if value != fields[name].default}
