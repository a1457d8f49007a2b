"""Which policy each value of the `policy:` section stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from adpkv.config import Experiment
from adpkv.core.rules import Rules
from adpkv.core.topology import Topology
from adpkv.executor.loop import RankProgram
from adpkv.history import collectives, ends, records, waits
from adpkv.history.policy import Policy
from adpkv.worlds.assemble import build_rank

__all__ = ["POLICIES", "assembly"]

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
    ("generation", "ignored"): records.GENERATION_IGNORED,
    ("connection_epoch", "ignored"): records.EPOCH_IGNORED,
    ("reduce", "own"): ends.ACTS_ON_ITS_OWN,
    ("watch", "nobody"): waits.NOBODY_WATCHES,
    ("quarantine", "unbounded"): records.UNBOUNDED_QUARANTINE,
}
"""Every value of a policy key that is not the contract's. In this order they are put together."""


def assembly(experiment: Experiment) -> Callable[..., RankProgram]:
    """What makes a rank's program under the experiment's policies: the contract's own maker where
    it names none."""
    chosen = experiment.policy.historical()
    policies = [policy for (key, value), policy in POLICIES.items() if chosen.get(key) == value]
    return partial(_assemble, policies) if policies else build_rank


def _assemble(
    policies: list[Policy], experiment: Experiment, topology: Topology, rank: int, **ports: Any
) -> RankProgram:
    rules = Rules()
    for policy in policies:
        rules = policy.rules(rules)
    program = build_rank(experiment, topology, rank, rules=rules, **ports)
    for policy in policies:
        policy.install(program.phases)
    return program
