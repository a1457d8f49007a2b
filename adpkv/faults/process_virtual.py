"""What a fault of the process is in virtual time: the rank stands still alone, or for ever."""

from __future__ import annotations

from adpkv.core.ids import NEVER
from adpkv.executor.collectives import Gone, Operation, Pause
from adpkv.executor.ports import Clock

__all__ = ["VirtualProcessFaults"]


class VirtualProcessFaults:
    """`faults.process.ProcessFaultInjector` of virtual ranks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, kind: str, duration_ns: int, before: Operation) -> Operation | None:
        """The rank awaits this before that collective; nothing for what is no stop."""
        group, site, iteration, plan = before.group, before.site, before.iteration, before.plan
        if kind == "sigkill":
            return Gone(group, "a killed process", site, iteration, plan)
        if kind == "sigstop":
            until_ns = min(self._clock() + duration_ns, NEVER)
            stopped = "a stopped process"
            return Pause(group, stopped, site, iteration, plan, until_ns, lambda: False)
        return None
