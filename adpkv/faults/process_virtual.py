"""Faults of the process in virtual time: the rank alone does not go on, for a time or for ever."""

from __future__ import annotations

from adpkv.core.ids import NEVER
from adpkv.executor.collectives import Gone, Operation, Pause
from adpkv.executor.ports import Clock

__all__ = ["VirtualProcessFaults"]


class VirtualProcessFaults:
    """The `faults.process.ProcessFaultInjector` of virtual ranks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, kind: str, duration_ns: int, before: Operation) -> Operation | None:
        """What the rank awaits before that collective; None for a fault that suspends nothing, such
        as `skew`."""
        group, site, iteration, plan = before.group, before.site, before.iteration, before.plan
        if kind == "sigkill":
            return Gone(group, "a killed process", site, iteration, plan)
        if kind == "sigstop":
            until_ns = min(self._clock() + duration_ns, NEVER)
            stopped = "a stopped process"
            return Pause(group, stopped, site, iteration, plan, until_ns, lambda: False)
        return None
