"""What of an experiment is varied from seed to seed, and within which limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adpkv.config import Experiment
from adpkv.config.fault_kinds import KINDS, FaultKind
from adpkv.config.workload import ClosedLoopConfig, PoissonConfig, ScriptConfig
from adpkv.core.content import blocks_for
from adpkv.core.topology import Topology
from adpkv.errors import UsageError

__all__ = ["LIES", "Variation", "variation"]

LIES: Final = frozenset({"write_after_cancel", "false_completion"})
"""Faults that no rank can survive: a part of the machine says what is not true. Their expected
outcome is a violation, so a find of theirs says nothing."""

MOST_REQUESTS: Final = 64
"""Of a seed. More requests seldom find more, and each costs a millisecond."""


@dataclass(frozen=True, slots=True)
class Variation:
    """The limits of what a seed may draw. Durations in nanoseconds."""

    base: Experiment
    topology: Topology
    requests: int
    prompt: tuple[int, int]
    output: tuple[int, int]
    kinds: tuple[str, ...]
    """The kinds of faults that may be drawn."""
    anchors: tuple[int, ...]
    """The experiment's limits, and what a few of them make together: what lasts just so long, or a
    little less or more, is likely to matter."""
    step_ns: int
    blocks: int
    """A request's at most, of a rank."""
    peer_blocks: int
    """A prompt's at most, for which a peer has room."""
    recovery_ns: int
    """So long after the last fault all that it has left behind is over."""

    @property
    def reuses(self) -> bool:
        """Whether receivers keep what they got, so that it matters which prompts are alike."""
        return self.base.kv_cache.reuse_received

    def phases(self, kind: FaultKind) -> tuple[str, ...]:
        """The phases of a kind of fault that may come. Where nothing is reused a seed means what it
        did before there was such a thing."""
        if self.reuses:
            return kind.phases
        return tuple(phase for phase in kind.phases if phase != "cached")


def variation(base: Experiment) -> Variation:
    """What of this experiment can be varied.

    Raises:
        UsageError: its workload, model or ports are not ours to vary.
    """
    workload = base.workload
    if isinstance(workload, PoissonConfig | ClosedLoopConfig):
        requests = workload.requests
        prompt = (workload.prompt_tokens.min, workload.prompt_tokens.max)
        output = (workload.output_tokens.min, workload.output_tokens.max)
    elif isinstance(workload, ScriptConfig):
        valid = [one for one in workload.requests if not one.invalid]
        if not valid:
            raise UsageError(f"{base.name}: workload.requests: none of them is valid")
        requests = sum(one.times for one in workload.requests)
        prompt = _range([one.prompt_tokens for one in valid])
        output = _range([one.output_tokens for one in valid])
    else:
        raise UsageError(
            f"{base.name}: workload.kind: {workload.kind!r} cannot be varied: explore takes"
            " poisson, closed_loop and script"
        )
    if base.regression is not None or base.sweep is not None:
        base = base.model_copy(update={"regression": None, "sweep": None})
    base = base.computed()  # all seeds are copies of it
    most_tokens = (base.least_blocks - 1) * base.kv_cache.block_tokens
    if prompt[0] + output[0] > most_tokens:
        raise UsageError(f"{base.name}: kv_cache.blocks: no request of the workload fits a rank")
    limits = base.transceiver
    deadline_ns, wait_ns = limits.transfer_timeout_ns, limits.wait_timeout_ns
    progress_ns, grace_ns = limits.progress_deadline_ns, limits.shutdown_grace_ns
    return Variation(
        base=base,
        topology=base.topology.build(),
        requests=min(requests, MOST_REQUESTS),
        prompt=prompt,
        output=output,
        kinds=_kinds(base),
        anchors=(
            limits.mail_latency_ns + 1,
            deadline_ns // 2,
            deadline_ns,
            deadline_ns + limits.mail_latency_ns,
            2 * deadline_ns,
            wait_ns,
            progress_ns,
            progress_ns + grace_ns,
            progress_ns + 2 * grace_ns,
        ),
        blocks=base.least_blocks - 1,
        peer_blocks=base.most_peer_blocks,
        step_ns=max(1, base.legal_silence.look_ns - 50_000_000),
        recovery_ns=2 * (progress_ns + grace_ns + wait_ns + deadline_ns),
    )


def _range(values: list[int]) -> tuple[int, int]:
    return min(values), max(values)


def _kinds(base: Experiment) -> tuple[str, ...]:
    """A rank is killed only where the job may go on without it: else each seed would end early."""
    left_out = LIES | (frozenset() if base.on_rank_failure == "shrink" else {"sigkill"})
    staged = base.staging is not None
    return tuple(
        name
        for name, kind in KINDS.items()
        if name not in left_out and (staged or kind.phases != ("unpacked",))
    )


def fits(where: Variation, prompt: int, output: int) -> bool:
    """Whether a rank can hold such a request."""
    block_tokens = where.base.kv_cache.block_tokens
    return (
        blocks_for(prompt + output, block_tokens) <= where.blocks
        and blocks_for(prompt, block_tokens) <= where.peer_blocks
    )
