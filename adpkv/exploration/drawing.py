"""From a seed to a case: a schedule, a workload with its cancels, and a swarm of faults.

In the manner of swarm testing (Groce et al., ISSTA 2012) each seed leaves most kinds of faults out:
a run that has all of them fails early, always in the same way. The faults act in a first phase;
then all is healed, and some requests come afterwards: those must be served.

The experiment that comes out is valid by construction. It is put together without being parsed,
which would take as long as running it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from adpkv.config import Experiment
from adpkv.config.fault_kinds import KINDS, SENDER_PHASES, FaultKind
from adpkv.config.faults import FaultConfig
from adpkv.config.workload import ScriptConfig, ScriptedConfig
from adpkv.core.ids import NEVER
from adpkv.core.topology import Kind
from adpkv.exploration.cases import Case
from adpkv.exploration.dice import Dice
from adpkv.exploration.schedules import Spread
from adpkv.exploration.variation import Variation, fits

__all__ = ["draw", "placed"]

MOST_FAULTS: Final = 4
SHARES: Final = (0, 0, 2, 8, 16)
"""How many of sixteen choices of a kind a seed makes differently."""

ALTERNATE: Final = (0.25, 0.5, 1.0, 1.0)

# A copy of one of these is made faster than a new one, whose defaults pydantic looks up.
_REQUEST: Final = ScriptedConfig.model_construct(at_ns=0, prompt_tokens=1, times=1, every_ns=0)
_FAULT: Final = FaultConfig.model_construct()
_SCRIPT: Final = ScriptConfig.model_construct(kind="script", requests=())


@dataclass(slots=True)
class _Drawing:
    """One seed's draws."""

    where: Variation
    dice: Dice
    faulty_ns: int
    """For how long faults may begin."""
    lasts_ns: int = 0
    """The longest of what they do."""

    def duration_ns(self) -> int:
        """Near one of the limits, or anything below the longest."""
        anchors = self.where.anchors
        anchor = self.dice.choice(anchors)
        how = self.dice.below(4)
        if how == 0:
            return self.dice.between(1, anchors[-1])
        return max(1, anchor + (0, 0, 1, -1)[how])

    # -- requests ------------------------------------------------------------------------------

    def requests(self) -> list[ScriptedConfig]:
        """The workload of the faulty phase."""
        dice, where = self.dice, self.where
        count = dice.between(1, where.requests)
        cancels, pins = dice.choice((0, 0, 4, 8, 16)), dice.choice((0, 0, 4))
        burst = dice.chance(1, 3)
        return [
            self._request(0 if burst else self._arrival_ns(), cancels, pins, dice.chance(1, 24))
            for _ in range(count)
        ]

    def _arrival_ns(self) -> int:
        dice = self.dice
        how = dice.below(4)
        if how == 0:
            return 0
        if how == 1:
            return dice.below(8) * self.where.step_ns
        return dice.below(self.faulty_ns)

    def _request(self, at_ns: int, cancels: int, pins: int, invalid: bool) -> ScriptedConfig:
        dice, where = self.dice, self.where
        prompt, output = dice.between(*where.prompt), dice.between(*where.output)
        if invalid:
            output = where.base.least_blocks * where.base.kv_cache.block_tokens + 1
        elif not fits(where, prompt, output):
            prompt, output = where.prompt[0], where.output[0]
        cancel_ns = None
        if dice.chance(cancels, 16):
            cancel_ns = dice.below(dice.choice(where.anchors) + 10 * where.step_ns)
        pinned = not where.base.topology.replicated and dice.chance(pins, 16)
        wanted = dice.below(where.base.topology.least_ranks) if pinned else None
        found = asked(at_ns, prompt, output, cancel_ns, wanted, invalid=invalid)
        return found if invalid or not where.reuses else self._alike(found)

    def _alike(self, one: ScriptedConfig) -> ScriptedConfig:
        """The request as one of few families, whose prompts are alike; often with full blocks only,
        so that a receiver may lack nothing."""
        dice, size = self.dice, self.where.base.kv_cache.block_tokens
        change: dict[str, Any] = {"prefix": dice.choice((None, 0, 0, 1, 2))}
        if one.prompt_tokens > size and dice.chance(1, 2):
            change["prompt_tokens"] = one.prompt_tokens // size * size
        return one.having(**change)

    # -- faults --------------------------------------------------------------------------------

    def faults(self, requests: int) -> list[FaultConfig]:
        """A few, of the kinds that this seed has."""
        dice, where = self.dice, self.where
        count = dice.choice((0, 1, 1, 2, 3, MOST_FAULTS))
        kinds = dice.some(where.kinds, dice.choice((1, 1, 2, 3, len(where.kinds))))
        return [self._fault(dice.choice(kinds), requests) for _ in range(count)]

    def _fault(self, name: str, requests: int) -> FaultConfig:
        dice, where, kind = self.dice, self.where, KINDS[name]
        phases = where.phases(kind)
        phase = dice.choice(phases) if phases and not dice.chance(1, 3) else None
        after_ns = 0 if dice.chance(1, 2) else dice.below(self.faulty_ns)
        found: dict[str, Any] = {
            "kind": name,
            "phase": phase,
            "probability": dice.choice(ALTERNATE),
            "count": dice.choice((None, 1, 1, 2, 3)),
            "after_ns": after_ns,
            "before_ns": max(self.faulty_ns, after_ns + 1),
        }
        if kind.at_an_instant:
            found["count"] = dice.choice((None, 1, 1, 2))
            found["ranks"] = (self._rank(name),)
        else:
            if dice.chance(1, 2):
                found["ranks"] = (dice.choice(self._side(phase, kind)),)
            if dice.chance(1, 2):
                found["requests"] = tuple({dice.below(requests): None, dice.below(requests): None})
        return _FAULT.having(**found, **self._lasting(name, kind))

    def own_faults(self) -> tuple[FaultConfig, ...]:
        """Those of the experiment itself, which are healed like the drawn ones. As many: one that
        would begin only afterwards has no chance."""
        found = []
        for fault in self.where.base.faults:
            if fault.after_ns >= self.faulty_ns:
                found.append(fault.having(probability=0.0))
                continue
            lasts_ns = fault.duration_ns or 0
            if fault.bandwidth_bytes_per_s:
                lasts_ns = _slow_ns(self.where.base, fault.bandwidth_bytes_per_s)
            self.lasts_ns = max(self.lasts_ns, lasts_ns)
            until_ns = self.faulty_ns
            if fault.before_ns is not None:
                until_ns = min(until_ns, fault.before_ns)
            found.append(fault.having(before_ns=until_ns))
        return tuple(found)

    def _rank(self, name: str) -> int:
        ranks = self.where.topology.ranks
        if name == "sigkill" and not self.dice.chance(1, 8):
            return self.dice.between(1, ranks - 1)  # with rank 0 the job ends at once
        return self.dice.below(ranks)

    def _side(self, phase: str | None, kind: FaultKind) -> list[int]:
        """The ranks on which a fault of this phase can happen."""
        phases = (phase,) if phase else kind.default
        senders = {one in SENDER_PHASES for one in phases}
        kinds = [k for k in Kind if (k is Kind.CONTEXT) in senders]
        return [r for k in kinds for one in self.where.topology.of_kind(k) for r in one.members]

    def _lasting(self, name: str, kind: FaultKind) -> dict[str, Any]:
        """What its kind needs, and how long it lasts at most."""
        base, found = self.where.base, dict[str, Any]()
        if kind.needs == "bandwidth":
            bandwidth = max(
                1, base.transceiver.link.bandwidth_bytes_per_s // self.dice.choice((2, 10, 50))
            )
            found["bandwidth_bytes_per_s"] = bandwidth
            self.lasts_ns = max(self.lasts_ns, _slow_ns(base, bandwidth))
        elif kind.needs == "duration" or "duration" in kind.takes:
            lasts_ns = self.duration_ns()
            if name == "sigstop":
                # A process that is stopped for as long as its group waits for it is a deadlock.
                lasts_ns = min(
                    lasts_ns, base.hang_ns // (8 * MOST_FAULTS * self.where.topology.ranks)
                )
            found["duration_ns"] = max(1, lasts_ns)
            self.lasts_ns = max(self.lasts_ns, lasts_ns)
        if "proven" in kind.takes:
            found["proven"] = self.dice.chance(1, 2)
        return found


def _slow_ns(base: Experiment, bandwidth: int) -> int:
    """How long the largest transfer takes on a link of this bandwidth, in bytes per second."""
    return base.least_blocks * base.block_bytes * 1_000_000_000 // bandwidth


def asked(
    at_ns: int,
    prompt: int,
    output: int,
    cancel_ns: int | None = None,
    wanted: int | None = None,
    *,
    invalid: bool = False,
) -> ScriptedConfig:
    """One request of a script."""
    return _REQUEST.having(
        at_ns=at_ns,
        prompt_tokens=prompt,
        output_tokens=output,
        wanted=wanted,
        prefix=None,
        cancel_ns=cancel_ns,
        invalid=invalid,
    )


def placed(
    base: Experiment, seed: int, requests: list[ScriptedConfig], faults: Sequence[FaultConfig]
) -> Experiment:
    """The experiment with this workload, and these faults."""
    workload = _SCRIPT.having(requests=tuple(requests))
    return base.having(seed=seed, workload=workload, faults=tuple(faults))


def draw(where: Variation, seed: int) -> Case:
    """The case of a seed."""
    dice = Dice(seed)
    drawing = _Drawing(where, dice, dice.choice(where.anchors[3:]) + 4 * where.step_ns)
    requests = drawing.requests()
    faults = drawing.faults(len(requests))
    spread = Spread(seed, *(dice.choice(SHARES) for _ in range(3)))
    own, healed_ns = where.base.faults, NEVER
    if not dice.chance(1, 4):
        own = drawing.own_faults()
        healed_ns = drawing.faulty_ns + drawing.lasts_ns + where.recovery_ns
        late = dice.between(1, 2)
        requests += [drawing._request(healed_ns, 0, 0, invalid=False) for _ in range(late)]
    requests.sort(key=lambda one: one.at_ns)
    return Case(placed(where.base, seed, requests, [*own, *faults]), spread, healed_ns)
