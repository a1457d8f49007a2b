"""Each policy of the field, the variant of the experiment `explore` in which it is looked for, the
first seed that finds it, and what is said. `docs/exploration.md` has the same table."""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

from adpkv.config import load
from adpkv.config.shipped import shipped_file
from adpkv.exploration.variation import Variation, variation

__all__ = ["FOUND", "VARIANTS", "Found", "where"]

VARIANTS: Final = {
    "": (),
    "replicated": ("topology.attention=replicated",),
    "dying": ("on_rank_failure=shrink", "recompute=true"),
    "reusing": ("kv_cache.reuse=true", "kv_cache.reuse_received=true"),
}


class Found(NamedTuple):
    """How a policy is found."""

    signature: str
    seed: int
    variant: str = ""


FOUND: Final = {
    ("on_timeout", "free"): Found(
        "write_after_free",
        14,
    ),
    ("on_timeout", "fail_close"): Found(
        "shutdown_without_cause",
        4,
    ),
    ("poll", "blocking"): Found(
        "deadlock:poll@check_generation_transfer_status|tp_allgather@sync|wait@wait",
        4,
    ),
    ("poll", "gated"): Found(
        "mismatch:tp_allgather@poll|tp_allgather@sync",
        0,
    ),
    ("responses", "owner"): Found(
        "mismatch:tp_allgather@sync|tp_gather@respond",
        0,
    ),
    ("errors", "local"): Found(
        "mismatch:tp_allgather@sync|tp_gather@handle_errors",
        4,
    ),
    ("invalid_requests", "local"): Found(
        "mismatch:tp_allgather@sync|tp_gather@validate",
        2,
    ),
    ("deadline_from", "admission"): Found(
        "early_deadline",
        1,
    ),
    ("deadline_from", "advertise"): Found(
        "early_deadline",
        4,
    ),
    ("shutdown", "local"): Found(
        "mismatch:tp_allgather@sync|world_allgather@leave",
        13,
    ),
    ("health", "budget"): Found(
        "no_shutdown_with_cause",
        59,
    ),
    ("late_success", "revives"): Found(
        "two_terminal_responses",
        30,
    ),
    ("cancel", "boolean"): Found(
        "leak",
        4,
    ),
    ("dummy", "asserted"): Found(
        "rank_failed:there is a block for the dummy",
        24,
    ),
    ("idle_wait", "unbounded"): Found(
        "deadlock:queue@get_new_requests|tp_broadcast@intake",
        1,
    ),
    ("reap", "when_scheduled"): Found(
        "unbounded_wait",
        0,
    ),
    ("handles", "first_failure"): Found(
        "write_after_free",
        30,
    ),
    ("generation", "ignored"): Found(
        "write_after_free",
        95,
    ),
    ("connection_epoch", "ignored"): Found(
        "write_after_free",
        194,
        "dying",
    ),
    ("reduce", "own"): Found(
        "mismatch:step@forward",
        0,
        "replicated",
    ),
    ("watch", "nobody"): Found(
        "deadlock:tp_broadcast@intake|wait@wait",
        68,
        "dying",
    ),
    ("quarantine", "unbounded"): Found(
        "no_shutdown_with_cause",
        59,
    ),
    ("release", "trusted"): Found(
        "write_after_free",
        6,
    ),
    ("routing", "blind"): Found(
        "waited_bound",
        0,
    ),
    ("reuse", "unpinned"): Found(
        "shared_block",
        1,
        "reusing",
    ),
}


@cache
def where(policy: tuple[str, str] | None = None, variant: str = "") -> Variation:
    """The experiment `explore` under a policy."""
    changes = [*VARIANTS[variant], *([f"policy.{policy[0]}={policy[1]}"] if policy else [])]
    path = shipped_file("explore")
    assert path is not None
    return variation(load(path, changes))
