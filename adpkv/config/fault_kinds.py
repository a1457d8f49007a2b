"""Every kind of fault: at which seam it happens, in which phases, and what it needs to be told.

One table instead of a model per kind: the aims are the same for all, and a table can say why a key
means nothing here, which a model that forbids the key cannot.
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
    """Where the decision on a fault is asked for."""

    TRANSPORT = "transport"
    """Around a rank's transport, as something is expected, posted or withdrawn."""
    RESTART = "restart"
    """Around the transports of both ends, at an instant."""
    MESSAGES = "messages"
    """Around a rank's mailbox, as a message to another rank is sent."""
    PROCESS = "process"
    """Around a rank's program, at an instant."""


class FaultKind(NamedTuple):
    """What a kind is and needs. Aims that name a transfer (`peers`, `requests`) mean nothing where
    a fault happens at an instant."""

    seam: Seam
    phases: tuple[str, ...] = ()
    """Those that may be named; none: `phase` means nothing."""
    default: tuple[str, ...] = ()
    """What null means."""
    needs: str = ""
    """The key that is required, and more than nothing."""
    takes: tuple[str, ...] = ()
    """Further keys that mean something."""

    @property
    def at_an_instant(self) -> bool:
        """Whether it hits a rank at a time, rather than a transfer or a message."""
        return self.seam in (Seam.RESTART, Seam.PROCESS)


MESSAGE_PHASES: Final = ("advertise", "queued", "began", "ended", "never_started", "cancel")
PROCESS_PHASES: Final = ("intake", "sync", "flush", "step", "wait", "drain")
SENDER_PHASES: Final = frozenset({"post", "withdraw", "queued", "began", "ended", "never_started"})
"""What a context rank does; the other phases of a transfer are a generation rank's."""

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
    """The phases in which a fault may hit."""
    return (fault.phase,) if fault.phase is not None else KINDS[fault.kind].default
