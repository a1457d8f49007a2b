"""Which policy each value of the `policy:` section stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from adpkv.core.ownership import Replica
from adpkv.core.rules import Rules
from adpkv.core.session_limits import TransceiverLimits
from adpkv.executor.context import ContextServing
from adpkv.executor.generation import GenerationServing
from adpkv.executor.loop import RankProgram
from adpkv.executor.phases import Phases
from adpkv.field_policies import collectives, ends, records, releases, reuse, routing, waits
from adpkv.field_policies.policy import Policy, combined
from adpkv.worlds.assemble import Parts, build_rank

__all__ = ["POLICIES", "combination"]

POLICIES: Final[Mapping[tuple[str, str], Policy]] = {
    ("on_timeout", "free"): records.FREE_ON_TIMEOUT,
    ("on_timeout", "fail_close"): ends.FAIL_CLOSE,
    ("poll", "blocking"): waits.BLOCKING_POLL,
    ("poll", "gated"): collectives.GATED_POLL,
    ("responses", "owner"): collectives.OWNER_RESPONDS,
    ("errors", "local"): collectives.ERRORS_LOCAL,
    ("invalid_requests", "local"): collectives.INVALID_LOCAL,
    ("deadline_from", "admission"): records.DEADLINE_FROM_ADMISSION,
    ("deadline_from", "advertise"): records.DEADLINE_FROM_ADVERTISE,
    ("shutdown", "local"): ends.LOCAL_SHUTDOWN,
    ("health", "budget"): records.BUDGET_AS_HEALTH,
    ("late_success", "revives"): ends.LATE_SUCCESS_REVIVES,
    ("cancel", "boolean"): ends.BOOLEAN_CANCEL,
    ("dummy", "asserted"): ends.DUMMY_ASSERTED,
    ("idle_wait", "unbounded"): waits.UNBOUNDED_IDLE,
    ("reap", "when_scheduled"): waits.REAP_WHEN_SCHEDULED,
    ("handles", "first_failure"): records.FIRST_FAILURE_FREES,
    ("generation", "ignored"): records.ATTEMPT_IGNORED,
    ("connection_epoch", "ignored"): records.EPOCH_IGNORED,
    ("reduce", "own"): ends.ACTS_ON_ITS_OWN,
    ("watch", "nobody"): waits.NOBODY_WATCHES,
    ("quarantine", "unbounded"): records.UNBOUNDED_QUARANTINE,
    ("release", "trusted"): releases.RELEASE_TRUSTED,
    ("routing", "blind"): routing.BLIND_ROUTER,
    ("failure_memory", "none"): records.FAILURES_FORGOTTEN,
    ("reuse", "unpinned"): reuse.REUSE_UNPINNED,
    ("full_hit", "silent"): reuse.FULL_HIT_SILENT,
}
"""Every value of a policy key that is not the contract's, in the order in which they apply."""


def combination(chosen: Mapping[str, str]) -> Callable[..., RankProgram] | None:
    """What makes a rank's program under the policies of these values of the keys; None if no value
    is one of a policy."""
    policies = [policy for (key, value), policy in POLICIES.items() if chosen.get(key) == value]
    return _combined(policies) if policies else None


def _combined(policies: Sequence[Policy]) -> Callable[..., RankProgram]:
    """Combine the policies once, for all ranks."""
    rules = Rules()
    for policy in policies:
        rules = policy.rules(rules)
    generation = [policy.serving for policy in policies]
    context = [one for one in generation if not (one and issubclass(one, GenerationServing))]
    parts = Parts(
        limits=partial(_limited, policies),
        context=combined(ContextServing, context),
        generation=combined(GenerationServing, generation),
        replica=combined(Replica, [policy.replica for policy in policies]),
    )
    others = [policy.phases for policy in policies]
    contracts = combined(Phases, others)

    def assemble(*job: Any, phases: type[Phases] = Phases, **ports: Any) -> RankProgram:
        mixed = contracts if phases is Phases else combined(phases, others)
        for policy in policies:
            if policy.route is not None:
                ports["route"] = policy.route
            if policy.transport is not None:
                ports["transport"] = policy.transport(ports["transport"])
        return build_rank(*job, rules=rules, parts=parts, phases=mixed, **ports)

    return assemble


def _limited(policies: Sequence[Policy], limits: TransceiverLimits) -> TransceiverLimits:
    for policy in policies:
        limits = policy.limits(limits)
    return limits
