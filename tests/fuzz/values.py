"""Values for every key of an experiment: ordinary ones, and those at the ends of what is allowed.

What a key takes is read from the schema, by its type and bounds. Only what decides how long a run
takes, and what is found by nobody who draws at random, has a line of its own here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final

from adpkv.config.address import ADDRESS_PATTERN
from adpkv.config.checks.bounds import BOUNDS_PATTERN
from adpkv.config.units import DURATION_PATTERN, SIZE_PATTERN

__all__ = ["MOST_DURATION", "OWN", "value"]

MOST_DURATION: Final = "87600h"
SHORT: Final = ("1us", "100us", "1ms", "2ms", "5ms", "7ms")
MIDDLE: Final = ("10ms", "20ms", "50ms", "100ms", "300ms", "500ms")
LONG: Final = ("1s", "2s", "5s", "6s", "10s", "30s", "60s", "300s")
DURATIONS: Final = (*SHORT, *MIDDLE, *MIDDLE, *LONG)
DURATION_ENDS: Final = ("0s", "1ns", "999999937ns", "1h", "8760h", MOST_DURATION)
SIZES: Final = ("64KiB", "640KiB", "1MiB", "16MiB", "1GiB", "10GiB")
SIZE_ENDS: Final = ("1B", "4611686018427387903B")
WORDS: Final = ("x", "a rank", "µ", "-1", "null", "a" * 500)
NAMES: Final = ("fuzz", "a", "Z9._-", "0" * 64)
NUMBERS: Final = (0.25, 0.5, 1.0, 2.0, 3.0, 10.0, 1000.0)
NUMBER_ENDS: Final = (5e-324, 1e-9, 1e-3, 1e6, 1e300)
SHARES: Final = (0.1, 0.3, 0.5, 1.0)
SHARE_ENDS: Final = (0.0, 5e-324, 0.9999999999999999)

Pools = tuple[Sequence[Any], Sequence[Any]]

_TOKENS: Final[Pools] = ((1, 2, 9, 16, 40, 64, 200), (1, 2000, 12_000))
_OUTPUT: Final[Pools] = ((1, 2, 8, 8, 30), (1, 300, 3000))
_REQUESTS: Final[Pools] = ((1, 2, 4, 8, 12), (40,))
_COST: Final[Pools] = (("0s", "20ns", "2us", "50us", "1ms"), ("1ns", "100ms", "10s", MOST_DURATION))
_INSTANCES: Final[Pools] = ((1, 1, 1, 2), (3,))

OWN: Final[Mapping[str, Pools]] = {
    "topology.context.instances": _INSTANCES,
    "topology.context.ranks": ((1, 1, 2, 3), (6,)),
    "topology.generation.instances": _INSTANCES,
    "topology.generation.ranks": ((1, 2, 3, 6), (12,)),
    "topology.servers[].instances[]": ((0, 1, 1, 2, 3), (5,)),
    "topology.servers[].ranks": ((1, 2, 3), (6,)),
    "topology.servers[].blocks": ((64, 256, 1024), (6400, 1 << 20)),
    "topology.servers[].preset": (("llama-3.1-8b@h100", "mixtral-8x7b@h200"), ("falcon-7b@l40s",)),
    "topology.servers[].step_base": (("0s", "1ms", "5ms", "50ms"), ("1ns", "1s", "300s")),
    "topology.servers[].per_prefill_token": _COST,
    "topology.servers[].per_prefill_pair": _COST,
    "topology.servers[].per_sequence": _COST,
    "topology.servers[].per_context_token": _COST,
    "kv_cache.block_tokens": ((16, 16, 64), (1, 512, 4096)),
    "kv_cache.blocks": ((12, 16, 24, 64, 256, 1024), (2, 6400, 1 << 20)),
    "executor.token_budget": ((16, 50, 128, 1024, 8192), (1, 2**31 - 1)),
    "executor.max_batch_size": ((1, 2, 4, 16, 64), (2**31 - 1,)),
    "executor.max_requests_per_rank": ((1, 4, 16, 256), (2**31 - 1,)),
    "transceiver.max_inflight_blocks_per_peer": ((10, 20, 64, 4096), (1, 2**31 - 1)),
    "model.preset": (("llama-3.1-8b@h100", "deepseek-v3@h200x8-ep8"), ("falcon-7b:fp8@l40sx4",)),
    "model.step_base": (("0s", "1ms", "5ms", "7ms", "50ms"), ("1ns", "1s", "6s", "300s", "8760h")),
    "model.per_prefill_token": _COST,
    "model.per_prefill_pair": _COST,
    "model.per_sequence": _COST,
    "model.per_context_token": _COST,
    "workload(poisson).requests": _REQUESTS,
    "workload(poisson).rate": ((1.0, 10.0, 100.0, 1000.0), NUMBER_ENDS),
    "workload(poisson).prompt_tokens.min": _TOKENS,
    "workload(poisson).prompt_tokens.max": _TOKENS,
    "workload(poisson).output_tokens.min": _OUTPUT,
    "workload(poisson).output_tokens.max": _OUTPUT,
    "workload(poisson).shared_prefix.tokens": ((8, 16, 32), (1,)),
    "workload(closed_loop).requests": _REQUESTS,
    "workload(closed_loop).users": ((1, 2, 4, 8), (2**31 - 1,)),
    "workload(closed_loop).prompt_tokens.min": _TOKENS,
    "workload(closed_loop).prompt_tokens.max": _TOKENS,
    "workload(closed_loop).output_tokens.min": _OUTPUT,
    "workload(closed_loop).output_tokens.max": _OUTPUT,
    "workload(closed_loop).shared_prefix.tokens": ((8, 16, 32), (1,)),
    "workload(trace).path": (("sample",), ("sample",)),
    "workload(trace).limit": _REQUESTS,
    "workload(trace).speed": ((0.5, 1.0, 10.0, 1000.0), (1e-6, 1e300)),
    "workload(trace).prompt_scale": ((0.001, 0.01, 0.1), (5e-324, 1.0)),
    "workload(trace).output_scale": ((0.01, 0.1), (5e-324, 1.0)),
    "workload(trace).rate": ((1.0, 10.0, 100.0, 1000.0), (1e300,)),
    "workload(trace).hash_tokens": ((512,), (512,)),
    "workload(script).requests[].prompt_tokens": _TOKENS,
    "workload(script).requests[].output_tokens": _OUTPUT,
    "workload(script).requests[].times": ((1, 2, 3, 6), (40,)),
    "workload(script).requests[].wanted": ((0, 0, 1), (0,)),
    "faults[].ranks[]": ((0, 1, 2, 3, 4), (0,)),
    "faults[].peers[]": ((0, 1, 2, 3, 4), (0,)),
    "faults[].requests[]": ((0, 1, 2, 5), (2**31 - 1,)),
    "faults[].count": ((1, 1, 2, 3), (1000, 2**31 - 1)),
    "name": (NAMES, NAMES),
    "sweep.vary": (({},), ({},)),
    "sweep.optimize[]": (("max goodput", "min ttft_p99"), ("max requests.completed",)),
    "sweep.subject_to[]": (("error_rate < 0.01",), ("outcome == completed",)),
}
"""(ordinary, extreme) of a key: what decides the size of a run, and what must hit something."""


def value(draw: Random, here: str, node: Mapping[str, Any], extreme: bool) -> Any:
    """A value for the key at this place, of a type that is no section and no list."""
    if here in OWN:
        return draw.choice(OWN[here][extreme])
    if "const" in node:
        return node["const"]
    if "enum" in node:
        return draw.choice(node["enum"])
    return draw.choice(_pools(here, node)[extreme])


def _pools(here: str, node: Mapping[str, Any]) -> Pools:
    kind, pattern = node["type"], node.get("pattern")
    known: Mapping[str, Pools] = {
        DURATION_PATTERN: (DURATIONS, DURATION_ENDS),
        SIZE_PATTERN: (SIZES, SIZE_ENDS),
        ADDRESS_PATTERN: (("127.0.0.1:9400",), ("[::1]:65535", "a:1")),
        BOUNDS_PATTERN: ((0, 3, "2..5"), ("0..", "999999999..")),
    }
    if pattern in known:
        return known[pattern]
    if kind == "boolean":
        return (False, True), (False, True)
    if kind == "integer":
        least = node.get("minimum", 0)
        most = node.get("maximum", node.get("exclusiveMaximum", 2**31) - 1)
        return [least + more for more in (0, 1, 2, 3, 7, 15, 63)], (least, most)
    if kind == "number":
        return (SHARES, SHARE_ENDS) if node.get("maximum") == 1 else (NUMBERS, NUMBER_ENDS)
    if kind == "string":
        return (WORDS, WORDS) if pattern is None else (NAMES, NAMES)
    raise AssertionError(f"{here} takes {dict(node)}, which nothing here makes: see `values`")
