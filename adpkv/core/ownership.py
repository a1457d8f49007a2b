"""Who decides about a request: the one rank that has it, or all ranks that hold a part of it.

Chosen when a rank is put together. The rank's serving asks its owner before it acts on what it
noticed alone; everything else about a request is the same either way.
"""

from __future__ import annotations

from typing import TypeVar

from adpkv.core.values import Cause, Outcome
from adpkv.core.verdicts import Verdict

__all__ = ["Replica", "SoleOwner"]

_Batch = TypeVar("_Batch")


class SoleOwner:
    """Attention data parallelism: a rank's requests are its own, and so is what it decides."""

    answers = True
    """It tells clients, and counts as load what it holds."""
    verdicts: tuple[Verdict, ...] = ()
    """What it says at sync, again and again until all ranks have acted on it."""

    def sender(self, named: int) -> int:
        """The rank that sends a request's KV to this one; `named` is the one that answered."""
        return named

    def keeps_back(
        self, request_id: int, outcome: Outcome, detail: str, cause: Cause = Cause.OTHER
    ) -> bool:
        """Its transfer came to this. False: act on it now; True: when all have agreed."""
        return False

    def lets_go(self, request_id: int, quiescent: bool) -> bool:
        """A request has ended whose transfer had begun, and `quiescent` says what is proven about
        its blocks here: may they be given back now?"""
        return quiescent

    def acted(self, request_id: int) -> None:
        """What was agreed about the request is done."""

    def lead(self) -> None:
        """The ranks before this one are dead."""

    def compared(self, batch: _Batch) -> _Batch | None:
        """What all ranks must have in common about the next step; None if that is nothing."""
        return None


class Replica(SoleOwner):
    """Tensor parallelism without ADP: rank `index` of the instance holds its shard of each request.

    Requests, pools and batches must be in lockstep on all ranks, as the forward step reduces over
    them. So nothing that only one rank has noticed may change them: it is said first (contract
    5.2), and all act on what was agreed.
    """

    def __init__(self, index: int) -> None:
        self._index = index
        self.answers = index == 0
        self._said: dict[int, Verdict] = {}

    def sender(self, named: int) -> int:
        """Each rank fetches its shard from the rank in its own place; the first one answered."""
        return named + self._index

    def keeps_back(
        self, request_id: int, outcome: Outcome, detail: str, cause: Cause = Cause.OTHER
    ) -> bool:
        """Said at the next sync."""
        self._say(Verdict(request_id, outcome, detail, cause))
        return True

    def lets_go(self, request_id: int, quiescent: bool) -> bool:
        """Block ids must stay the same on all ranks, so the last one's proof frees them all."""
        if quiescent:
            self._say(Verdict(request_id))
        else:
            self.acted(request_id)
        return False

    def acted(self, request_id: int) -> None:
        """It need not be said any more."""
        if self._said.pop(request_id, None) is not None:
            self.verdicts = tuple(self._said.values())

    def lead(self) -> None:
        """It is the one that answers now."""
        self.answers = True

    def compared(self, batch: _Batch) -> _Batch | None:
        """Ranks that compute different batches would hang in the step, or spoil each other's."""
        return batch

    def _say(self, verdict: Verdict) -> None:
        if self._said.get(verdict.request_id) != verdict:
            self._said[verdict.request_id] = verdict
            self.verdicts = tuple(self._said.values())
