"""The policy of a router that binds each request at once, and sees tokens but no blocks."""

from __future__ import annotations

from typing import Final

from adpkv.core.router import blind
from adpkv.field_policies.policy import Policy

__all__ = ["BLIND_ROUTER"]

BLIND_ROUTER: Final = Policy(
    "A request is bound to the rank with the fewest open tokens as it comes, and waits there for"
    " blocks while another rank has some (sgl-project/sglang #37401).",
    route=blind,
)
