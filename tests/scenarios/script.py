"""What a story is made of: an experiment in few words, requests that were written down, and a
program whose collectives are noted.

Apart from `story`, which tells it in the virtual world: a real rank starts in a fifth less time
without that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from adpkv.core.ids import NEVER
from adpkv.executor.collectives import Operation
from adpkv.executor.loop import RankProgram
from adpkv.workload.port import Arrival

__all__ = ["MS", "Script", "Traced", "arrival", "setting"]

MS = 1_000_000


def setting(name: str, context: int, attempt: int, **sections: Any) -> dict[str, Any]:
    """An experiment with one instance of each kind, whose steps take whole milliseconds."""
    data: dict[str, Any] = {
        "name": name,
        "topology": {"context": {"ranks": context}, "generation": {"ranks": attempt}},
        "kv_cache": {"block_tokens": 16, "blocks": 64, "reuse": False},
        "model": {
            "step_base": "5ms",
            "per_prefill_token": "0s",
            "per_prefill_pair": "0s",
            "per_sequence": "0s",
            "per_context_token": "0s",
        },
        # The requests are a script's; this stands for them where an experiment must have some.
        "workload": {
            "kind": "closed_loop",
            "users": 1,
            "requests": 1,
            "prompt_tokens": {"min": 1, "max": 1},
            "output_tokens": {"min": 1, "max": 1},
        },
    }
    return data | sections


def arrival(
    at_ms: int, prompt: int, output: int, *, wanted: int | None = None, cancel_ms: int = -1
) -> Arrival:
    """A request; `wanted` is the rank that it insists on, in both groups."""
    cancel_ns = cancel_ms * MS if cancel_ms >= 0 else -1
    return Arrival(at_ms * MS, prompt, output, (), cancel_ns, wanted)


class Script:
    """A workload that was written down: implements `Workload`."""

    def __init__(self, arrivals: Sequence[Arrival]) -> None:
        self.total = len(arrivals)
        self._left = sorted(arrivals, key=lambda a: a.at_ns)

    def due_ns(self) -> int:
        return self._left[0].at_ns if self._left else NEVER

    def take(self) -> Arrival:
        return self._left.pop(0)

    def ended(self, now_ns: int, number: int) -> None: ...


class Traced:
    """A rank program of which each collective is noted as it is awaited."""

    def __init__(self, program: RankProgram, clock: Callable[[], int]) -> None:
        self.phases = program.phases
        self.operations: list[tuple[int, Operation]] = []
        self._program = program
        self._clock = clock

    async def run(self) -> Any:
        program, result = self._program.run(), None
        while True:
            try:
                operation = program.send(result)
            except StopIteration as end:
                return end.value
            self.operations.append((self._clock(), operation))
            result = await operation
