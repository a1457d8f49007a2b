"""Why something stops: one record, from the rank that proposes it to the summary of the run."""

from __future__ import annotations

import msgspec

__all__ = ["StopReason"]


class StopReason(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Of a rank that proposes to stop, of a group that has agreed to, of the whole job."""

    code: int
    """The exit code to end with."""
    detail: str = ""
    """In words, for people: clients read it as the reason that their request failed. Nothing is
    decided by it."""
    unhealthy: tuple[str, ...] = ()
    """What is wrong with the transceiver of the rank that proposed it (`core.health.REASONS`);
    empty where health is not the reason."""

    def with_code(self, code: int) -> StopReason:
        """The same reason with the code that won over its own."""
        return self if code == self.code else StopReason(code, self.detail, self.unhealthy)
