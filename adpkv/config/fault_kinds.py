"""Every kind of fault: where it is injected, in which phases, and which keys it needs.

This is one table instead of a pydantic model per kind: all kinds can be aimed in the same way, and
with the table the error for a useless key can say why it is useless.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from adpkv.config.faults import FaultConfig

__all__ = [
    "KINDS",
    "MESSAGE_PHASES",
    "PROCESS_PHASES",
    "SENDER_PHASES",
    "FaultKind",
    "Seam",
    "phases",
]


class Seam(StrEnum):
    """The place in the code where a fault is injected."""

    TRANSPORT = "transport"
    """A rank's transport, when a transfer is expected, posted or withdrawn."""
    RESTART = "restart"
    """The transports of both ends, at a point in time."""
    MESSAGES = "messages"
    """A rank's mailbox, when a message to another rank is sent."""
    PROCESS = "process"
    """A rank's program, at a point in time."""


class FaultKind(NamedTuple):
    """One kind of fault. `peers` and `requests`, which name transfers, have no meaning for a fault
    that happens at a point in time."""

    seam: Seam
    phases: tuple[str, ...] = ()
    """The values that `phase` may have; empty: the key has no meaning."""
    default: tuple[str, ...] = ()
    """The phases that are meant if `phase` is null."""
    needs: str = ""
    """The key that is required, with a value above zero."""
    takes: tuple[str, ...] = ()
    """Further keys that have a meaning."""

    @property
    def at_an_instant(self) -> bool:
        """Whether it hits a rank at a point in time, not a transfer or a message."""
        return self.seam in (Seam.RESTART, Seam.PROCESS)


MESSAGE_PHASES: Final = (
    "advertise",
    "cached",
    "queued",
    "began",
    "ended",
    "never_started",
    "cancel",
    "unpacked",
)
PROCESS_PHASES: Final = ("intake", "sync", "flush", "step", "wait", "drain")
SENDER_PHASES: Final = frozenset({"post", "withdraw", "queued", "began", "ended", "never_started"})
"""The phases of a transfer that happen on a context rank; the others happen on a generation rank.
"""

_POST: Final = ("post",)
_EXPECT: Final = ("expect",)
_BOTH: Final = (*_POST, *_EXPECT)
_NO_PHASE: Final = ("",)

KINDS: Final[Mapping[str, FaultKind]] = {
    "delay": FaultKind(Seam.TRANSPORT, _BOTH, _POST, "duration"),
    "stall": FaultKind(Seam.TRANSPORT, _BOTH, _POST, takes=("duration",)),
    "fail": FaultKind(Seam.TRANSPORT, _BOTH, _POST, takes=("proven",)),
    "slow_link": FaultKind(Seam.TRANSPORT, _POST, _POST, "bandwidth"),
    "slow_first_contact": FaultKind(Seam.TRANSPORT, _POST, _POST, "duration"),
    "handle_error": FaultKind(Seam.TRANSPORT, _BOTH, _POST),
    "refuse_registration": FaultKind(Seam.TRANSPORT, _EXPECT, _EXPECT),
    "false_completion": FaultKind(Seam.TRANSPORT, _BOTH, _EXPECT),
    "write_after_cancel": FaultKind(Seam.TRANSPORT, ("withdraw",), ("withdraw",)),
    "restart": FaultKind(Seam.RESTART, (), _NO_PHASE, "duration"),
    "lose": FaultKind(Seam.MESSAGES, MESSAGE_PHASES, MESSAGE_PHASES),
    "duplicate": FaultKind(Seam.MESSAGES, MESSAGE_PHASES, MESSAGE_PHASES),
    "late": FaultKind(Seam.MESSAGES, MESSAGE_PHASES, MESSAGE_PHASES, "duration"),
    "reorder": FaultKind(Seam.MESSAGES, MESSAGE_PHASES, MESSAGE_PHASES, "duration"),
    "former_owner": FaultKind(Seam.MESSAGES, MESSAGE_PHASES, MESSAGE_PHASES),
    "sigstop": FaultKind(Seam.PROCESS, PROCESS_PHASES, PROCESS_PHASES, "duration"),
    "sigkill": FaultKind(Seam.PROCESS, PROCESS_PHASES, PROCESS_PHASES),
    "skew": FaultKind(Seam.PROCESS, (), PROCESS_PHASES, "duration"),
}


def phases(fault: FaultConfig) -> tuple[str, ...]:
    """The phases in which `fault` may hit."""
    return (fault.phase,) if fault.phase is not None else KINDS[fault.kind].default
