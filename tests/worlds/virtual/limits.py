"""Random experiments about limits: each is drawn over many orders of magnitude, steps and mail too.

Without a fault no limit may make a run end with anything but 0, an oracle speak, or a rank ill:
what takes long there is legal. With a death, or with words that get lost, an oracle may not speak
either; a death is told as one, and every request is answered.

    python -m tests.worlds.virtual.limits SEED [SEED_BEHIND_THE_LAST]
"""

from __future__ import annotations

import sys
from random import Random
from typing import Any

from adpkv.config.fault_kinds import MAIL_PHASES, PROCESS_PHASES
from tests.worlds.virtual.running import differences, problems, run

__all__ = ["drawn", "replay", "wrong_with"]

TINY = ("1ns", "1us", "100us", "1ms", "3ms")
SHORT = ("10ms", "20ms", "50ms", "100ms", "300ms")
LONG = ("1s", "2s", "5s", "6s", "10s", "30s", "60s")
ANY = (*TINY, *SHORT, *LONG)
MOST_EVENTS = 300_000


def drawn(seed: int) -> dict[str, Any]:
    """The experiment of a seed: every third is clean, every third has a death, and every third
    words that are lost, said twice, late or overtaken."""
    draw = Random(f"limits {seed}")
    context = {"instances": draw.choice((1, 1, 2)), "ranks": draw.choice((1, 1, 2, 3))}
    generation = {"instances": draw.choice((1, 1, 2)), "ranks": draw.choice((1, 2, 3, 6))}
    ranks = sum(kind["instances"] * kind["ranks"] for kind in (context, generation))
    data: dict[str, Any] = {
        "name": f"limits-{seed}",
        "seed": seed,
        "topology": {"context": context, "generation": generation},
        "executor": _executor(draw),
        "kv_cache": {"block_tokens": 16, "blocks": draw.choice((24, 64, 256))},
        "transceiver": _transceiver(draw),
        "model": _model(draw),
        "workload": _workload(draw),
        "observe": {"unbounded_wait": draw.choice(ANY)},
        "faults": [],
    }
    if seed % 3 == 1:
        data |= _deaths(draw, ranks)
    elif seed % 3 == 2:
        data["faults"] = [_lost_word(draw) for _ in range(draw.randint(1, 2))]
    return data


def _executor(draw: Random) -> dict[str, Any]:
    batch = draw.choice((1, 2, 8))
    busy, idle = sorted(draw.sample(range(3, len(ANY)), 2))
    found = {
        "token_budget": draw.choice((16, 64, 1024)),
        "max_batch_size": batch,
        "max_requests_per_rank": batch + draw.choice((0, 1, 8)),
        "busy_wait": ANY[busy],
        "idle_wait": ANY[idle],
    }
    if draw.random() < 0.7:
        found["drain_timeout"] = draw.choice(ANY)
    if draw.random() < 0.3:
        found["queue_timeout"] = draw.choice((*SHORT, *LONG))
    return found


def _transceiver(draw: Random) -> dict[str, Any]:
    per_peer = draw.choice((1, 1, 2))
    found: dict[str, Any] = {
        "max_inflight_transfers": per_peer + draw.choice((0, 0, 4)),
        "max_inflight_transfers_per_peer": per_peer,
        "quarantine_budget": per_peer + draw.choice((0, 4)),
        "mail_latency": draw.choice(("0s", "50us", *ANY)),
        "link": {
            "latency": draw.choice(("0s", "20us", *ANY)),
            "bandwidth": draw.choice(("64KiB", "1MiB", "10GiB")),
        },
    }
    for key in ("transfer_timeout", "wait_timeout", "progress_deadline", "shutdown_grace"):
        if draw.random() < 0.6:
            found[key] = draw.choice(ANY)
    return found


def _model(draw: Random) -> dict[str, Any]:
    return {
        "step_base": draw.choice(("0s", *ANY)),
        "per_prefill_token": draw.choice(("0s", "20us", "10ms", "300ms")),
        "per_prefill_pair": draw.choice(("0s", "2ns", "1ms")),
        "per_sequence": draw.choice(("0s", "50us", "1s")),
        "per_context_token": draw.choice(("0s", "20ns", "10ms")),
        "collective": draw.choice(("0s", "40us", "1ms", "1s")),
    }


def _workload(draw: Random) -> dict[str, Any]:
    requests = [
        {
            "at": draw.choice(("0s", *ANY)),
            "prompt_tokens": draw.choice((1, 9, 64, 200)),
            "output_tokens": draw.choice((1, 2, 8, 30)),
            "times": draw.choice((2, 3, 6)),
            "every": draw.choice(("0s", "1ms", "100ms", "3s")),
            **({"cancel": draw.choice(ANY)} if draw.random() < 0.2 else {}),
        }
        for _ in range(draw.randint(1, 3))
    ]
    return {"kind": "script", "requests": requests}


def _deaths(draw: Random, ranks: int) -> dict[str, Any]:
    victims = draw.sample(range(1, ranks), min(draw.choice((1, 1, 2)), ranks - 1))
    kill = {
        "kind": "sigkill",
        "ranks": victims,
        "after": draw.choice(("0s", *ANY)),
        "phase": draw.choice((None, *PROCESS_PHASES)),
    }
    shrinks = draw.random() < 0.3
    return {
        "faults": [kill],
        "on_rank_failure": "shrink" if shrinks else "shutdown",
        "recompute": shrinks and draw.random() < 0.5,
    }


def _lost_word(draw: Random) -> dict[str, Any]:
    kind = draw.choice(("lose", "lose", "duplicate", "late", "reorder"))
    fault: dict[str, Any] = {
        "kind": kind,
        "phase": draw.choice((None, *MAIL_PHASES)),
        "count": draw.randint(1, 3),
    }
    if kind in ("late", "reorder"):
        fault["duration"] = draw.choice(SHORT)
    return fault


def wrong_with(seed: int) -> list[str]:
    """What is wrong with the experiment of this seed, jumped or not."""
    data = drawn(seed)
    try:
        jumped = run(data, most_events=MOST_EVENTS)
        stepped = run(data, jump=False, most_events=20 * MOST_EVENTS)
    except Exception as error:  # the seed must be told, whatever it was
        return [f"{type(error).__name__}: {error}"]
    found = differences(jumped, stepped) + problems(jumped)
    if not data["faults"]:
        ill = jumped.summary["health"]["unhealthy_intervals"]
        found += [f"clean, and ends with {jumped.exit_code}"] if jumped.exit_code else []
        found += [f"clean, and ill {ill} times"] if ill else []
    return found


def replay(seed: int) -> str:
    """How a person runs this seed again."""
    return f"seed {seed}; replay: python -m tests.worlds.virtual.limits {seed}"


def main(seeds: range) -> int:
    """Run seeds; print what is wrong."""
    bad = 0
    for seed in seeds:
        wrong = wrong_with(seed)
        if wrong:
            bad += 1
            print(replay(seed), *wrong, sep="\n  ", flush=True)
    return min(bad, 1)


if __name__ == "__main__":
    first, *rest = (int(word) for word in sys.argv[1:])
    sys.exit(main(range(first, rest[0] if rest else first + 1)))
