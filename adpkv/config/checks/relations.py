"""All checks of relations between the sections of an experiment, as a table.

Each relation lists the paths that it reads. It is skipped if one of them is wrong by itself,
because a check against a placeholder would give a second, misleading message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from typing import Final

import msgspec

from adpkv.config.checks import (
    devices,
    expectations,
    fault_aims,
    lengths,
    limits,
    scripts,
    servers,
    times,
)
from adpkv.config.document import Key
from adpkv.config.experiment import Experiment
from adpkv.config.problem import Problem

__all__ = ["broken"]

Path = tuple[Key, ...]


class _Relation(msgspec.Struct, frozen=True):
    reads: tuple[Path, ...]
    check: Callable[[Experiment], Iterator[Problem]]


def broken(experiment: Experiment, unsound: Set[Path] = frozenset()) -> list[Problem]:
    """The problems of all relations that do not hold, without relations that read something in
    `unsound`, the paths that are wrong by themselves."""
    found: list[Problem] = []
    for relation in _RELATIONS:
        if not any(_touched(path, unsound) for path in relation.reads):
            found += relation.check(experiment)
    return [problem for problem in found if not _touched(problem.path, unsound)]


def _touched(path: Path, unsound: Set[Path]) -> bool:
    """Whether `path` is inside a part that is wrong, or has such a part inside it."""
    for bad in unsound:
        shared = min(len(path), len(bad))
        if path[:shared] == bad[:shared]:
            return True
    return False


_BLOCK_TOKENS: Final[Path] = ("kv_cache", "block_tokens")
_PROMPT: Final[Path] = ("workload", "prompt_tokens")
_OUTPUT: Final[Path] = ("workload", "output_tokens")
_PREFIX: Final[Path] = ("workload", "shared_prefix")
_DELAY: Final[Path] = ("workload", "cancel", "delay")


def _executor(key: str) -> Path:
    return ("executor", key)


def _transceiver(key: str) -> Path:
    return ("transceiver", key)


_SERVERS: Final[Path] = ("topology", "servers")
_RANKS: Final[tuple[Path, ...]] = (("topology", "context"), ("topology", "generation"))
_BLOCK_BYTES: Final[tuple[Path, ...]] = (
    _BLOCK_TOKENS,
    *(("model", key) for key in ("layers", "kv_heads", "head_dim", "dtype_bytes")),
)
_BATCH: Final = _executor("max_batch_size")
_PER_RANK: Final = _executor("max_requests_per_rank")
_PER_PEER: Final = _transceiver("max_inflight_transfers_per_peer")
_PIECE: Final = _transceiver("piece")

# The paths at which a relation reports problems are not listed: `broken` drops the problems of
# wrong parts by themselves, so one bad fault does not hide the problems of the next.
_RELATIONS: Final = (
    _Relation((*_RANKS, _SERVERS), servers.server_instances),
    _Relation((_SERVERS, ("model",)), servers.server_costs),
    _Relation((*_RANKS, _SERVERS), limits.topology),
    _Relation((("topology",), ("workload", "pinned")), limits.replicas),
    _Relation((("topology",), ("policy", "reduce")), limits.reduction),
    _Relation((("kv_cache", "reuse_received"), ("policy",)), limits.reuse),
    _Relation((("topology",), ("policy", "cancel")), limits.cancel),
    _Relation((("topology",), ("on_rank_failure",), ("recompute",)), limits.survivors),
    _Relation((("topology",),), limits.spares),
    _Relation((_BATCH, _PER_RANK), limits.batch),
    _Relation((_executor("busy_wait"), _executor("idle_wait")), limits.waits),
    _Relation((("router", "avoid_pause"), ("router", "avoid_pause_limit")), limits.avoidance),
    _Relation((_executor("idle_wait"), ("observe",)), limits.readiness),
    _Relation((("observe",),), limits.timeline),
    _Relation((("calibration",),), limits.calibration),
    _Relation((("diagnosis",), ("executor",), ("model",), _PROMPT, _OUTPUT), limits.hang),
    _Relation((_PER_PEER, _transceiver("quarantine_budget")), limits.budget),
    _Relation((_PER_PEER, _transceiver("max_inflight_transfers")), limits.slots),
    _Relation((_PIECE, *_BLOCK_BYTES), limits.piece),
    _Relation((_PIECE, _transceiver("post_budget")), limits.post_budget),
    _Relation((_PIECE, _transceiver("post_budget"), *_BLOCK_BYTES), limits.post_block),
    _Relation((_transceiver("staging_slot"), *_BLOCK_BYTES), limits.staging_slot),
    _Relation((_transceiver("transport"),), limits.staging_transport),
    _Relation((("transceiver",), ("kv_cache", "memory")), devices.reach),
    _Relation((("model",), ("kv_cache", "memory")), devices.collective),
    _Relation((_PROMPT,), lengths.prompt_range),
    _Relation((_OUTPUT,), lengths.output_range),
    _Relation((_DELAY,), lengths.cancel_delay),
    _Relation((_PREFIX, _PROMPT), lengths.shared_prefix),
    _Relation((_PROMPT, _OUTPUT, _BLOCK_TOKENS, ("kv_cache", "blocks")), lengths.pool),
    _Relation(
        (_PROMPT, _BLOCK_TOKENS, _transceiver("max_inflight_blocks_per_peer")),
        lengths.peer_blocks,
    ),
    _Relation((("workload", "kind"), _BLOCK_TOKENS), lengths.trace_blocks),
    _Relation((("workload", "kind"), ("workload", "path")), lengths.sample_ids),
    _Relation(_RANKS, scripts.script_wanted),
    _Relation((_BLOCK_TOKENS, ("kv_cache", "blocks")), scripts.script_pool),
    _Relation(
        (_BLOCK_TOKENS, _transceiver("max_inflight_blocks_per_peer")),
        scripts.script_peer_blocks,
    ),
    _Relation((), scripts.script_given),
    _Relation((), scripts.script_times),
    _Relation(_RANKS, fault_aims.fault_ranks),
    _Relation(_RANKS, fault_aims.fault_sides),
    _Relation((), fault_aims.fault_kinds),
    _Relation((("workload", "rate"), ("workload", "requests")), times.arrivals),
    _Relation((("workload", "kind"),), times.script_times),
    _Relation((("model",), ("executor",), ("kv_cache",), ("workload",)), times.steps),
    _Relation(
        (("calibration",), ("executor",), ("kv_cache",), ("topology",)), times.calibrated_steps
    ),
    _Relation((("model",), _PROMPT, _OUTPUT), times.answers),
    _Relation((), times.skews),
    _Relation((), expectations.expectation_given),
    _Relation((), expectations.expectation_parts),
    _Relation(_RANKS, expectations.expectation_ranks),
)
