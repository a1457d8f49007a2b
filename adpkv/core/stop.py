"""Why a rank, a group or the job stops: the same record from the proposal to the run's summary."""

from __future__ import annotations

import msgspec

__all__ = ["StopReason"]


class StopReason(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Why a rank proposes to stop, why its group has agreed to, or why the job ends."""

    code: int
    """The exit code to end with."""
    detail: str = ""
    """The reason as a text for people. It is also the detail of requests that fail because of the
    stop. No code decides by it."""
    unhealthy: tuple[str, ...] = ()
    """Why the transceiver of the rank that proposed it is unhealthy (values of
    `core.health.REASONS`); empty if health is not the reason."""

    def with_code(self, code: int) -> StopReason:
        """The same reason with another code, which has won over its own."""
        return self if code == self.code else StopReason(code, self.detail, self.unhealthy)
