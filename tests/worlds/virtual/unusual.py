"""Random experiments of what `experiments.py` does not draw: plugins of one's own, answers of no
tokens, faults at time 0, instances that differ, calibrations. One per seed, on top of those.

    python -m tests.worlds.virtual.unusual SEED

runs one as the test does, and says what is wrong with it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from random import Random
from typing import Any, Final

from adpkv.ports import NEVER, Arrival, Batch, Load, RequestSpec
from tests.worlds.virtual.experiments import experiment, replicated, reusing, staged

__all__ = ["Lined", "Picky", "Uneven", "unusual"]

HERE: Final = "tests.worlds.virtual.unusual"
MS: Final = 1_000_000
MOMENTS_NS: Final = (0, 1, 1000, MS, 7 * MS, 50 * MS, 400 * MS)


class Uneven:
    """Bursts and pauses, prompts about as long as blocks, answers of no tokens, clients that leave
    at once; some requests come only after an answer."""

    def __init__(self, experiment: Any, total: int, empty: float) -> None:
        draw = Random(f"uneven {experiment.seed}")
        self.total, at_ns = total, 0
        self._due: list[int] = []
        self._left: list[dict[str, Any]] = []
        self._later = 0
        for number in range(total):
            at_ns += draw.choice((0, draw.choice(MOMENTS_NS)))
            self._left.append(self._drawn(draw, experiment.kv_cache.block_tokens, empty))
            if number and draw.random() < 0.3:
                self._later += 1
            else:
                self._due.append(at_ns)

    @staticmethod
    def _drawn(draw: Random, block: int, empty: float) -> dict[str, Any]:
        prompt = draw.choice((1, block - 1, block, block + 1, 3 * block, draw.randrange(1, 60)))
        output = 0 if draw.random() < empty else draw.choice((0, 1, 2, 3, 10, 30))
        first = draw.randrange(3) * 100
        found: dict[str, Any] = {"prompt_tokens": prompt, "output_tokens": output}
        if draw.random() < 0.7:
            found["block_hashes"] = tuple(range(first, first + prompt // block))
        if draw.random() < 0.3:
            found["cancel_ns"] = draw.choice(MOMENTS_NS)
        if draw.random() < 0.3 and output:
            found["stops_after"] = draw.choice((0, 1, 2, 5))
        if draw.random() < 0.2:
            found["deadline_ns"] = draw.choice(MOMENTS_NS[1:])
        return found

    def due_ns(self) -> int:
        return self._due[0] if self._due else NEVER

    def take(self) -> Arrival:
        return Arrival(self._due.pop(0), **self._left.pop(0))

    def ended(self, now_ns: int, number: int) -> None:
        if self._later:
            self._later -= 1
            self._due = sorted([*self._due, now_ns + number % 3 * MS])


class Lined:
    """A model whose ticks are odd, whose dummies are dear, and which may take no time at all."""

    def __init__(self, ticks: int, base_ns: int, dummy_ns: int, per_token: int) -> None:
        self.ticks_per_ns, self._per_token = ticks, per_token
        self._base, self._dummy = base_ns * ticks, dummy_ns * ticks

    def line(self, batch: Batch) -> tuple[int, int]:
        if not (batch.prefill_tokens or batch.sequences):
            return self._dummy, 0
        tokens = batch.prefill_tokens + batch.context_tokens
        return self._base + self._per_token * tokens, self._per_token * batch.sequences

    def run(self, batch: Batch) -> None:
        raise AssertionError("in virtual time nothing is computed")


class Picky:
    """Lets requests wait although there is room, and also says a rank that has none."""

    def choose(
        self, request: RequestSpec, loads: Sequence[Load], room: Sequence[int]
    ) -> int | None:
        if request.request_id % 5 == 0:
            return request.request_id % len(room)
        able = [rank for rank, free in enumerate(room) if free > 0 and loads[rank][1] < 2]
        return able[request.request_id % len(able)] if able else None


def unusual(seed: int) -> dict[str, Any]:
    """The experiment of a seed, as `adpkv.config.parse` takes it."""
    draw = Random(f"unusual {seed}")
    data = (replicated if seed % 3 == 2 else experiment)(seed + 1000)
    if draw.random() < 0.25:
        data = staged(data)
    if draw.random() < 0.4:
        data = reusing(data)
    for fault in data["faults"]:
        if "after" in fault and draw.random() < 0.5:
            fault["after"] = draw.choice(("0s", "1ns"))
    if draw.random() < 0.3:
        data["faults"] = []
    policies = ("prefix", "power_of_two", "round_robin", f"{HERE}:Picky")
    data["router"] = {"policy": draw.choice(policies)}
    if draw.random() < 0.6:
        data["workload"] = {
            "kind": f"{HERE}:Uneven",
            "total": draw.choice((4, 10, 25)),
            "empty": draw.choice((0.0, 0.3, 1.0)),
        }
    if draw.random() < 0.4:
        data["model"] = {
            "kind": f"{HERE}:Lined",
            "ticks": draw.choice((1, 3, 7, 1000)),
            "base_ns": draw.choice((0, 1, 1000, 5 * MS)),
            "dummy_ns": draw.choice((0, 1, 5 * MS)),
            "per_token": draw.choice((0, 1, 777)),
            "collective": draw.choice(("0s", "40us", "1ms")),
        }
    elif draw.random() < 0.5:
        of_one = ({"step_base": "13ms"}, {"per_sequence": "3ms"}, {"per_context_token": "333ns"})
        data["topology"]["servers"] = [{"instances": [0], **draw.choice(of_one)}]
    if draw.random() < 0.4:
        data["calibration"] = _calibration(draw)
    return data


def _spread(draw: Random) -> dict[str, str]:
    lengths = sorted(draw.choice((0, 1, 1000, 50_000, MS, 7 * MS)) for _ in range(4))
    return {
        key: f"{one}ns" for key, one in zip(("least", "p50", "p90", "most"), lengths, strict=True)
    }


def _calibration(draw: Random) -> dict[str, Any]:
    groups = []
    for ranks in draw.sample((1, 2, 3), draw.choice((0, 1, 2))):
        stalls = {"every": draw.choice(("20ms", "1s")), "length": {"p50": "1ms", "most": "9ms"}}
        more = {"jitter": _spread(draw), "stalls": stalls, "iteration": "30us", "idle": "1ns"}
        chosen = draw.sample(sorted(more), draw.randint(1, len(more)))
        groups.append({"ranks": ranks, **{key: more[key] for key in chosen}})
    kinds = ("to_coordinator", "beside_coordinator", "admitted", "from_coordinator", "notice")
    return {
        "groups": groups,
        "messages": {kind: _spread(draw) for kind in kinds if draw.random() < 0.4},
        "start": draw.choice(("0s", "15ms")),
        "step": {"base": "98us", "per_prefill_token": "1.5ns"},
    }


if __name__ == "__main__":
    from tests.worlds.virtual.running import examine

    wrong = [text for seed in map(int, sys.argv[1:]) for text in examine(unusual(seed))]
    print(*wrong, sep="\n")
    sys.exit(bool(wrong))
