"""What of a rank is the same for all ranks of its instance, and in each run of an exploration: its
limits, times and sizes. Computed once (`once`), as a small run takes no longer than reading them
from the experiment for each rank would."""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec

from adpkv.config import Experiment
from adpkv.config.legal_silence import LegalSilence
from adpkv.core import router
from adpkv.core.failure_memory import MemoryLimits
from adpkv.core.group_limits import GroupLimits
from adpkv.core.router import Router
from adpkv.core.session import Role
from adpkv.core.session_limits import TransceiverLimits
from adpkv.core.slots import SlotLimits
from adpkv.core.topology import Instance, Kind
from adpkv.executor.rank import Conduct, Timing
from adpkv.worlds.once import once

__all__ = ["InstanceSettings", "group_limits", "says_cached", "settings_of", "stop_ns"]

ABANDON_AFTER: Final = 4
"""After how many drain timeouts a group leaves without the coordinator's release. The coordinator
gives up earlier, so it has reported by then whose answer is missing."""

SENDER_SLACK_NS: Final = 1_000_000_000
"""How much longer a sender waits than its receiver, beyond the time that messages may take. So it
is the receiver's timeout that the client sees: its limit is about what the client waits for."""

RANK_FAILURE_SLACK_NS: Final = 1_000_000_000
"""Time for a group with a failed rank to resume on a loaded machine."""

MOST_KNOWN: Final = 64
"""Where steps take as long as requests are large, each run of an exploration may have another."""


class InstanceSettings(msgspec.Struct, frozen=True):
    """What the experiment says of an instance's ranks. Times are in nanoseconds."""

    role: Role
    transceiver: TransceiverLimits
    timing: Timing
    conduct: Conduct
    memory_limits: MemoryLimits
    blocks: int
    reuses: bool
    """Whether the ranks of this kind keep blocks for requests that begin alike."""
    replicated: bool
    shrinks: bool
    """Whether the group goes on without ranks that have failed."""
    queue_timeout_ns: int
    """How long a request may wait in the instance."""
    pulse_ns: int
    token_budget: int
    max_batch_size: int
    verify_at_end: bool


def settings_of(experiment: Experiment, instance: Instance) -> InstanceSettings:
    """That of this instance's ranks."""
    # Of all that an exploration varies only this counts here, by the sizes of the requests.
    silence = experiment.legal_silence
    known: dict[LegalSilence, InstanceSettings] = once(
        experiment, ("settings", instance.index), dict
    )
    found = known.get(silence)
    if found is None:
        if len(known) >= MOST_KNOWN:
            known.clear()
        found = known[silence] = _settings(experiment, instance)
    return found


def _settings(experiment: Experiment, instance: Instance) -> InstanceSettings:
    role = Role.SENDER if instance.kind is Kind.CONTEXT else Role.RECEIVER
    return InstanceSettings(
        role=role,
        transceiver=_transceiver_limits(experiment, role),
        timing=_timing(experiment),
        conduct=Conduct(
            drains=experiment.on_instance_unhealthy == "drain",
            finishes=experiment.on_sigterm == "finish",
        ),
        memory_limits=experiment.router.memory_limits,
        blocks=experiment.blocks_of(instance.index),
        reuses=experiment.kv_cache.reused_by(instance.kind),
        replicated=experiment.topology.replicated,
        shrinks=experiment.on_rank_failure == "shrink",
        queue_timeout_ns=_queue_limit_ns(experiment, instance.kind),
        pulse_ns=experiment.pulse_ns,
        token_budget=experiment.executor.token_budget,
        max_batch_size=experiment.executor.max_batch_size,
        verify_at_end=experiment.observe.verify_at_end,
    )


def _timing(experiment: Experiment) -> Timing:
    return Timing(
        experiment.executor.busy_wait_ns,
        experiment.executor.idle_wait_ns,
        max(experiment.executor.drain_timeout_ns, experiment.legal_silence.proof_ns),
        ABANDON_AFTER * stop_ns(experiment),
        experiment.legal_silence.late_ns,
    )


def stop_ns(experiment: Experiment) -> int:
    """For how long an instance may send nothing while it stops, in nanoseconds."""
    patience_ns = experiment.legal_silence.proof_ns + RANK_FAILURE_SLACK_NS
    return max(experiment.executor.drain_timeout_ns, patience_ns)


def _queue_limit_ns(experiment: Experiment, kind: Kind) -> int:
    """How long a request may wait in an instance, for a rank and for blocks, slots included at the
    receiving end. A context instance schedules it first; a generation instance fetches its KV."""
    if kind is Kind.CONTEXT:
        return experiment.executor.queue_timeout_ns
    return experiment.transceiver.wait_timeout_ns


def group_limits(experiment: Experiment, instance: Instance, route: Router | None) -> GroupLimits:
    """Those of an instance; `route` in place of the router that the experiment names."""
    if route is not None:
        return _group_limits(experiment, instance, route)
    key = ("group_limits", instance.index)
    return once(experiment, key, partial(_group_limits, experiment, instance, None))


def _group_limits(experiment: Experiment, instance: Instance, route: Router | None) -> GroupLimits:
    if experiment.topology.replicated:
        route = router.replicate  # every rank gets every request: there is nothing to choose
    elif route is None:
        route = router.POLICIES[experiment.router.policy]
    says = says_cached(experiment)
    return GroupLimits(
        kind=instance.kind,
        ranks=instance.ranks,
        block_tokens=experiment.kv_cache.block_tokens,
        usable_blocks=experiment.blocks_of(instance.index) - 1,
        peer_blocks=experiment.most_peer_blocks,
        most_requests=experiment.executor.max_requests_per_rank,
        route=route,
        late=route not in (router.replicate, router.blind),
        peer_transfers=experiment.transceiver.max_inflight_transfers_per_peer,
        reuses=instance.kind in says,
        asks_cached=route is router.WANTS_CACHED and says.get(instance.kind, False),
        recomputes=experiment.recompute,
        most_passed=experiment.router.most_overtaken,
    )


def says_cached(experiment: Experiment) -> dict[Kind, bool]:
    """The kinds of instances whose ranks say what they have cached of the requests that wait, and
    whether they say it of new ones too, before these are routed."""
    return once(experiment, "says_cached", partial(_says_cached, experiment))


def _says_cached(experiment: Experiment) -> dict[Kind, bool]:
    if experiment.topology.replicated:
        return {}
    wanted = router.POLICIES.get(experiment.router.policy) is router.WANTS_CACHED
    return {kind: wanted for kind in Kind if experiment.kv_cache.reused_by(kind)}


def _transceiver_limits(experiment: Experiment, role: Role) -> TransceiverLimits:
    config, legal_silence = experiment.transceiver, experiment.legal_silence
    wait_timeout_ns, slack_ns, staging = config.wait_timeout_ns, 0, experiment.staging
    if role is Role.SENDER:
        # The receiver may notice its own timeout late, and its message then takes time.
        slack_ns = SENDER_SLACK_NS + 2 * (
            legal_silence.message_ns - legal_silence.look_ns + legal_silence.late_ns
        )
        # The receiver may first wait for a rank, then for blocks and a transfer slot.
        wait_timeout_ns += experiment.executor.queue_timeout_ns + slack_ns
    return TransceiverLimits(
        slots=SlotLimits(
            config.max_inflight_transfers,
            config.max_inflight_transfers_per_peer,
            config.max_inflight_blocks_per_peer,
            0 if staging is None else staging.slots,
        ),
        transfer_timeout_ns=config.transfer_timeout_ns + slack_ns,
        answer_timeout_ns=max(config.transfer_timeout_ns, legal_silence.message_ns),
        wait_timeout_ns=wait_timeout_ns,
        slot_timeout_ns=config.wait_timeout_ns + slack_ns,
        quarantine_budget=config.quarantine_budget,
        progress_deadline_ns=max(config.progress_deadline_ns, legal_silence.proof_ns),
        shutdown_grace_ns=config.shutdown_grace_ns,
        poll_limit=config.poll_limit,
    )
