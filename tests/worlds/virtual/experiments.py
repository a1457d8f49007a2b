"""Small random experiments, one per seed: every limit may be tight, every link may be sick.

In the manner of swarm testing, each seed leaves some kinds of trouble out, so that one kind does
not hide what another would have shown. Durations are drawn from few round values: simultaneous
events are where two ways through the same time differ first.

    python -m tests.worlds.virtual.experiments SEED

runs one seed both ways, with ADP and without, and with ranks that fail and without, and says what
is wrong with it.
"""

from __future__ import annotations

import sys
from random import Random
from typing import Any

from adpkv.config import parse
from adpkv.config.fault_kinds import MESSAGE_PHASES, PROCESS_PHASES, SENDER_PHASES

__all__ = ["experiment", "mortal", "replay", "replicated", "reusing", "staged", "surviving"]

FIRST_OF_ALL_KINDS = 400
"""Seeds from here on also draw from the whole catalogue; those before mean what they always did."""

DURATIONS = ("1ms", "2ms", "5ms", "7ms", "20ms", "50ms", "100ms", "300ms")
PHASES = (None, *[phase for phase in MESSAGE_PHASES if phase not in ("unpacked", "cached")])
"""Without those of staged transfers and of reuse, so that the seeds mean what they always did."""
MOMENTS = (None, *PROCESS_PHASES)


def replicated(seed: int) -> dict[str, Any]:
    """The experiment of a seed without ADP: every request on all ranks of its instance."""
    data, draw = _drawn(seed), Random(f"replicated-{seed}")
    topology = data["topology"]
    ranks = draw.choice((2, 2, 3))
    topology["context"]["ranks"] = topology["generation"]["ranks"] = ranks
    topology["attention"] = "replicated"
    data["workload"]["pinned"] = 0.0
    world = ranks * (topology["context"]["instances"] + topology["generation"]["instances"])
    for fault in data["faults"]:
        fault.pop("ranks", None)
        # Mostly on one rank: what all notice in the same instant needs no agreement.
        if draw.random() < 0.8:
            fault["ranks"] = [draw.randrange(world)]
    return _with_possible_faults(data)


def experiment(seed: int) -> dict[str, Any]:
    """The experiment of a seed, as `adpkv.config.parse` takes it."""
    return _with_possible_faults(_drawn(seed))


def mortal(data: dict[str, Any], draws: str = "deaths") -> dict[str, Any]:
    """An experiment of a seed in which some ranks fail besides; never rank 0, with which the job
    ends. Other `draws` are other victims at other moments."""
    draw = Random(f"{draws} {data['seed']}")
    ranks = sum(kind["instances"] * kind["ranks"] for kind in _kinds(data))
    victims = draw.sample(range(1, ranks), min(draw.choice((1, 1, 1, 2, 3)), ranks - 1))
    after = draw.choice(DURATIONS)
    kills = []
    for victim in victims:
        kill = {"kind": "sigkill", "ranks": [victim], "after": after, "phase": draw.choice(MOMENTS)}
        if draw.random() < 0.5:  # else all at about the same instant
            kill["before"] = "400ms"
        kills.append(kill)
    executor = data["executor"]
    if any(fault["kind"] == "sigstop" for fault in data["faults"]):
        # A process that is stopped for longer than the coordinator waits does not answer in time.
        executor = executor | {"drain_timeout": "1s"}
    return data | {"executor": executor, "faults": [*data["faults"], *kills]}


def surviving(data: dict[str, Any]) -> dict[str, Any]:
    """A mortal experiment whose groups go on without their failed; every other one computes again
    what went with them."""
    return mortal(data) | {"on_rank_failure": "shrink", "recompute": bool(data["seed"] % 2)}


def staged(data: dict[str, Any]) -> dict[str, Any]:
    """An experiment of a seed with staging: few slots and small ones, so that a transfer has many
    chunks, and copies that take their time. Some messages about chunks are lost or late."""
    draw = Random(f"staging {data['seed']}")
    model = parse(data, data["name"])
    blocks = draw.choice((2, 2, 3, 4, 6, 16))
    staging = {
        "staging": "on",
        "staging_slots": draw.choice((1, 1, 2, 3, 8)),
        "staging_slot": f"{blocks * model.block_bytes}B",
        "staging_bandwidth": draw.choice(("1MiB", "64MiB", "10GiB", "1000GiB")),
    }
    faults = list(data["faults"])
    if draw.random() < 0.3:
        fault = {"kind": draw.choice(MESSAGE_FAULTS), "phase": "unpacked", "probability": 0.3}
        if "duration" in MORE[fault["kind"]]:
            fault["duration"] = draw.choice(DURATIONS)
        faults.append(fault)
    return data | {"transceiver": data["transceiver"] | staging, "faults": faults}


def reusing(data: dict[str, Any]) -> dict[str, Any]:
    """An experiment of a seed whose receivers keep what they got: prompts share much or all, and
    pools are small, so that much is evicted too. Some messages that nothing is needed get lost."""
    draw = Random(f"reuse {data['seed']}")
    shared = draw.choice((16, 32, 48, 96))
    lengths = draw.choice(((shared, shared), (1, 120), (16, 120)))
    workload = data["workload"] | {
        "shared_prefix": {"groups": draw.choice((1, 2, 4)), "tokens": shared},
        "prompt_tokens": dict(zip(("min", "max"), lengths, strict=True)),
    }
    cache = {"reuse_received": True, "blocks": max(data["kv_cache"]["blocks"], 14)}
    faults = list(data["faults"])
    if draw.random() < 0.4:
        fault = {"kind": draw.choice(MESSAGE_FAULTS), "phase": "cached", "probability": 0.3}
        if "duration" in MORE[fault["kind"]]:
            fault["duration"] = draw.choice(DURATIONS)
        faults.append(fault)
    return data | {
        "kv_cache": data["kv_cache"] | cache,
        "router": {"policy": draw.choice(("load", "prefix", "prefix", "round_robin"))},
        "transceiver": data["transceiver"] | {"max_inflight_blocks_per_peer": 4096},
        "workload": workload,
        "faults": faults,
    }


def _kinds(data: dict[str, Any]) -> list[dict[str, int]]:
    return [data["topology"][kind] for kind in ("context", "generation")]


def _drawn(seed: int) -> dict[str, Any]:
    draw = Random(seed)
    context = {"instances": draw.choice((1, 1, 2)), "ranks": draw.choice((1, 2, 3))}
    generation = {"instances": draw.choice((1, 1, 2)), "ranks": draw.choice((1, 2, 3))}
    ranks = sum(kind["instances"] * kind["ranks"] for kind in (context, generation))
    per_peer = draw.choice((1, 1, 2, 4))
    sick = draw.random() < 0.75
    data = {
        "name": f"seed-{seed}",
        "seed": seed,
        "topology": {"context": context, "generation": generation},
        "executor": _executor(draw),
        "kv_cache": {
            "block_tokens": 16,
            "blocks": draw.choice((12, 13, 16, 24, 64)),
            "reuse": draw.random() < 0.7,
        },
        "transceiver": _transceiver(draw, per_peer),
        "model": _model(draw),
        "workload": _workload(draw),
        "faults": [_fault(draw, ranks) for _ in range(draw.randint(1, 3))] if sick else [],
        "observe": {"unbounded_wait": "1s"},
    }
    if draw.random() < 0.25:
        _make_round(data)
    if seed >= FIRST_OF_ALL_KINDS:
        more = Random(f"more faults {seed}")
        kinds = more.sample(sorted(MORE), more.randint(1, 4))
        data["faults"] += [_more(more, kind, ranks) for kind in kinds]
    return data


def _make_round(data: dict[str, Any]) -> None:
    """Nearly everything happens at whole milliseconds, so much of it at once."""
    for key in ("per_prefill_token", "per_prefill_pair", "per_sequence", "per_context_token"):
        data["model"][key] = "0s"
    data["model"]["collective"] = "0s"
    data["transceiver"]["mail_latency"] = "1ms"
    data["transceiver"]["link"] = {"latency": "1ms", "bandwidth": "1000GiB"}


def _executor(draw: Random) -> dict[str, Any]:
    batch = draw.choice((1, 2, 4, 16))
    busy = draw.choice(("1ms", "2ms", "10ms"))
    return {
        "token_budget": draw.choice((16, 50, 128, 1024)),
        "max_batch_size": batch,
        "max_requests_per_rank": batch + draw.choice((0, 1, 8)),
        "queue_timeout": draw.choice(("10ms", "100ms", "1s", "60s", "60s")),
        "busy_wait": busy,
        "idle_wait": draw.choice((busy, "10ms", "50ms", "500ms")),
        "drain_timeout": draw.choice(("50ms", "200ms", "1s")),
    }


def _transceiver(draw: Random, per_peer: int) -> dict[str, Any]:
    progress = draw.choice(("50ms", "200ms", "1s"))
    return {
        "max_inflight_transfers": per_peer + draw.choice((0, 0, 1, 8)),
        "max_inflight_transfers_per_peer": per_peer,
        "max_inflight_blocks_per_peer": draw.choice((10, 20, 4096)),
        "transfer_timeout": draw.choice(("5ms", "20ms", "100ms", "1s", "10s")),
        "wait_timeout": draw.choice(("20ms", "100ms", "1s", "10s", "10s")),
        "quarantine_budget": per_peer + draw.choice((0, 1, 4)),
        "progress_deadline": progress,
        "shutdown_grace": draw.choice(("50ms", "500ms", "2s", "20s")),
        "poll_limit": draw.choice((1, 2, 64)),
        "mail_latency": draw.choice(("0s", "50us", "1ms", "5ms")),
        "link": {
            "latency": draw.choice(("0s", "20us", "1ms")),
            "bandwidth": draw.choice(("1MiB", "16MiB", "1GiB", "10GiB")),
        },
    }


def _model(draw: Random) -> dict[str, Any]:
    return {
        "step_base": draw.choice(("1ms", "5ms", "7ms")),
        "per_prefill_token": draw.choice(("0s", "20us")),
        "per_prefill_pair": draw.choice(("0s", "2ns")),
        "per_sequence": draw.choice(("0s", "50us", "1ms")),
        "per_context_token": draw.choice(("0s", "20ns", "100us")),
        "collective": draw.choice(("0s", "40us", "1ms")),
    }


def _workload(draw: Random) -> dict[str, Any]:
    found: dict[str, Any] = {
        "requests": draw.choice((4, 8, 12, 20, 40)),
        "prompt_tokens": {"min": draw.choice((1, 16)), "max": draw.choice((16, 40, 120))},
        "output_tokens": {"min": 1, "max": draw.choice((1, 2, 10, 50))},
        "pinned": draw.choice((0.0, 0.0, 0.3, 1.0)),
    }
    if draw.random() < 0.5:
        found["shared_prefix"] = {"groups": draw.choice((1, 2)), "tokens": 16}
    if draw.random() < 0.7:
        least, most = sorted((draw.randrange(8), draw.randrange(8)))
        delay = {"min": DURATIONS[least], "max": DURATIONS[most]}
        found["cancel"] = {"probability": draw.choice((0.2, 0.5, 1.0)), "delay": delay}
    if draw.random() < 0.5:
        return {"kind": "poisson", "rate": draw.choice((10.0, 100.0, 1000.0, 1e6)), **found}
    think = draw.choice(("0s", "0s", "7ms"))
    return {"kind": "closed_loop", "users": draw.choice((1, 4, 8)), "think_time": think, **found}


def _fault(draw: Random, ranks: int) -> dict[str, Any]:
    kind = draw.choice(("delay", "stall", "stall", "fail", "fail"))
    fault: dict[str, Any] = {
        "kind": kind,
        "phase": draw.choice(("post", "post", "expect")),
        "probability": draw.choice((0.1, 0.3, 1.0)),
    }
    if draw.random() < 0.3:
        fault["ranks"] = sorted(draw.sample(range(ranks), draw.randint(1, ranks)))
    if draw.random() < 0.5:
        fault["count"] = draw.randint(1, 3)
    if draw.random() < 0.3:
        fault["after"] = draw.choice(DURATIONS)
    if draw.random() < 0.3:
        fault["before"] = "1s"
    if kind == "delay" or (kind == "stall" and draw.random() < 0.6):
        fault["duration"] = draw.choice(DURATIONS)
    if kind == "fail":
        fault["proven"] = draw.random() < 0.6
    return fault


MORE: dict[str, dict[str, Any]] = {
    "slow_link": {"bandwidth": ("64KiB", "1MiB", "100MiB")},
    "slow_first_contact": {"duration": DURATIONS},
    "handle_error": {"phase": ("post", "expect")},
    "refuse_registration": {},
    "false_completion": {"phase": ("post",)},
    "restart": {"duration": DURATIONS},
    "lose": {"phase": PHASES},
    "duplicate": {"phase": PHASES},
    "late": {"phase": PHASES, "duration": DURATIONS},
    "reorder": {"phase": PHASES, "duration": DURATIONS},
    "former_owner": {"phase": PHASES},
    "sigstop": {"phase": MOMENTS, "duration": DURATIONS},
    "skew": {"duration": DURATIONS},
}
"""What can be survived, and what each needs to be told."""

MESSAGE_FAULTS = ("lose", "duplicate", "late", "reorder", "former_owner")

AT_AN_INSTANT = frozenset({"restart", "sigstop", "skew"})


def _more(draw: Random, kind: str, ranks: int) -> dict[str, Any]:
    fault: dict[str, Any] = {"kind": kind, "probability": draw.choice((0.1, 0.3, 1.0))}
    for key, values in MORE[kind].items():
        fault[key] = draw.choice(values)
    if draw.random() < 0.3:
        fault["ranks"] = sorted(draw.sample(range(ranks), draw.randint(1, ranks)))
    if kind in AT_AN_INSTANT:
        fault["after"] = draw.choice(DURATIONS)
        if draw.random() < 0.7:
            fault |= {"before": "500ms", "count": draw.randint(1, 3)}
    elif draw.random() < 0.5:
        fault["count"] = draw.randint(1, 3)
    return fault


def _with_possible_faults(data: dict[str, Any]) -> dict[str, Any]:
    context = data["topology"]["context"]
    return data | {"faults": [_possible(fault, context) for fault in data["faults"]]}


def _possible(fault: dict[str, Any], context: dict[str, int]) -> dict[str, Any]:
    """A fault aimed only at ranks on the other side is refused, so none takes its place: the
    faults behind it keep their numbers, and so their draws."""
    phase, named = fault.get("phase"), fault.get("ranks")
    if fault["kind"] in ("slow_link", "slow_first_contact"):
        phase = "post"
    if fault["kind"] == "refuse_registration":
        phase = "expect"
    if phase is None or phase in MOMENTS or named is None:
        return fault
    senders = range(context["instances"] * context["ranks"])
    if any((rank in senders) is (phase in SENDER_PHASES) for rank in named):
        return fault
    return {"kind": "stall", "probability": 0.0}


def replay(seed: int) -> str:
    """How a person runs this seed again."""
    return f"seed {seed}; replay: python -m tests.worlds.virtual.experiments {seed}"


def main(seeds: list[int]) -> int:
    """Run seeds both ways; print what is wrong."""
    from tests.worlds.virtual.running import examine

    bad = 0
    for seed in seeds:
        ways = [
            data for kind in (experiment(seed), replicated(seed)) for data in (kind, mortal(kind))
        ]
        ways.append(surviving(experiment(seed)))
        ways += [staged(data) for data in ways]
        ways += [reusing(data) for data in ways]
        wrong = [text for data in ways for text in examine(data)]
        if wrong:
            bad += 1
            print(replay(seed), *wrong, sep="\n  ", flush=True)
    return min(bad, 1)


if __name__ == "__main__":
    first, *rest = (int(word) for word in sys.argv[1:])
    sys.exit(main(list(range(first, rest[0])) if rest else [first]))
