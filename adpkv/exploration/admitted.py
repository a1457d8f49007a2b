"""Whether each request was refused, or admitted, as `admission` and client ids have it.

That is counted again from the coordinator's events, so what its own count has lost shows here: a
leak would refuse requests for ever, and a refusal is no failure to anybody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adpkv.config import Experiment
from adpkv.core.topology import Kind
from adpkv.core.values import Outcome

__all__ = ["wrongly_admitted"]

Event = tuple[int, int, str, int, dict[str, Any]]
"""(at_ns, rank, kind, request, detail)"""


class _Count:
    """What waits for its first token, and which requests are open."""

    def __init__(self, experiment: Experiment, names: Mapping[int, str]) -> None:
        self._limits = experiment.admission
        self._names = names
        self.tokens: dict[int, int] = {}
        """The prompt of each open request."""
        self.waiting: set[int] = set()

    def has_cause(self, request: int) -> bool:
        """Whether this request, which has just arrived, is one too many."""
        name = self._names.get(request, "")
        if name and any(self._names.get(one) == name for one in self.tokens if one != request):
            return True
        if self._limits.requests is not None and len(self.waiting) >= self._limits.requests:
            return True
        most = self._limits.tokens
        if most is None or not self.waiting:
            return False
        return sum([self.tokens[one] for one in (*self.waiting, request)]) > most


def wrongly_admitted(
    experiment: Experiment, names: Mapping[int, str], events: Sequence[Event]
) -> list[str]:
    """A text for each request that was refused without a cause, or admitted in spite of one.
    `names` are the client ids by request."""
    kinds = [instance.kind for instance in experiment.topology.build().instances]
    count, fresh, found = _Count(experiment, names), set[int](), []
    for _, rank, kind, request, detail in events:
        if rank >= 0:
            continue
        if kind == "arrived":
            count.tokens[request] = detail["prompt_tokens"]
            fresh.add(request)
        elif kind in ("routed", "ended"):
            if request in fresh:
                fresh.discard(request)
                refused = kind == "ended" and detail["outcome"] == Outcome.REFUSED
                if refused is not count.has_cause(request):
                    word = "refused without a cause" if refused else "admitted beyond the limit"
                    found.append(f"request {request} was {word}: {len(count.waiting)} wait")
            if kind == "routed" and kinds[detail["instance"]] is Kind.CONTEXT:
                count.waiting.add(request)
            else:
                count.waiting.discard(request)
            if kind == "ended":
                count.tokens.pop(request, None)
    return found
