"""Experiments in pairs: how the second must end follows from how the first did.

- *doubled*: all durations twice as long, defaults included, and all rates half as high: everything
  happens at twice the time, to the nanosecond where nothing has to be rounded. It is chosen so.
- *permuted*: the ranks of each group change their places, with whatever is pinned to them.
- *relieved*: one fault does not happen, where no deadline can bind: the end is no worse.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from random import Random
from typing import Any, Final
from unittest.mock import patch

from adpkv.config import parse, units
from adpkv.config.fault_kinds import KINDS
from adpkv.config.units import exact_duration, parse_duration, parse_fine_duration, parse_size
from adpkv.core.ids import LAST_NS
from adpkv.core.topology import Topology
from adpkv.errors import ConfigError
from adpkv.exit_codes import EXIT_PRECEDENCE, ExitCode
from tests.fuzz.experiments import Swarm, experiment
from tests.fuzz.oracles import BROKEN_BY_DESIGN, MOST_EVENTS
from tests.fuzz.schema import ROOT, alternatives, place, variants
from tests.worlds.virtual.running import Ran, run

__all__ = ["Pair", "beside_its_double", "doubled", "permuted", "relieved", "twice"]

CONSTANTS: Final = (
    *(
        "NOTICE_NS",
        "SENDER_SLACK_NS",
        "RANK_FAILURE_SLACK_NS",
        "RANK_FAILURE_NS",
        "HANG_NS",
        "SOON_NS",
    ),
)
"""Durations that no key sets, by their names."""

RATES: Final = frozenset(
    {"transceiver.link.bandwidth", "transceiver.staging_bandwidth", "faults[].bandwidth"}
)
SPEEDS: Final = frozenset(
    {"workload(poisson).rate", "workload(trace).rate", "workload(trace).speed"}
)
EXACT: Final = ("64KiB", "1MiB", "8MiB")
"""Bandwidths that divide a block's bytes times a billion, and so does their half."""

UNBINDING: Final = {
    ("executor", "queue_timeout"): "20000h",
    ("executor", "drain_timeout"): "1000h",
    ("transceiver", "transfer_timeout"): "100h",
    ("transceiver", "wait_timeout"): "10000h",
    ("transceiver", "progress_deadline"): "20000h",
    ("transceiver", "shutdown_grace"): "20000h",
    ("diagnosis", "hang_timeout"): "20000h",
    ("observe", "unbounded_wait"): "20000h",
}


Pair = tuple[dict[str, Any], list[str] | None]
"""An experiment, and what is wrong between it and its other; None: one of them is too long."""


def _drawn(seed: int, least_faults: int = 0, **kind: Any) -> dict[str, Any]:
    draw = Random(f"pairs {seed}")
    given, faults = draw.choice((0.2, 0.5, 0.9)), draw.randint(least_faults, 3)
    return experiment(seed, Swarm(given=given, extreme=0.0, faults=faults, rare=0, **kind))


def _run(data: dict[str, Any]) -> Ran | None:
    """One that is too long for a pair is none."""
    try:
        return run(data, most_events=MOST_EVENTS)
    except AssertionError:
        return None


# -- twice as long -----------------------------------------------------------------------------

SURVIVED: Final = (
    *("delay", "stall", "fail", "slow_link", "slow_first_contact", "handle_error", "restart"),
    *("refuse_registration", "lose", "duplicate", "late", "reorder", "former_owner", "sigstop"),
    *("skew", "sigkill"),
)


def doubled(seed: int) -> Pair:
    """An experiment, and what is wrong between it and its double."""
    data = _exact(_drawn(seed, kinds=SURVIVED), Random(f"exact {seed}"))
    return data, beside_its_double(data)


def beside_its_double(data: dict[str, Any]) -> list[str] | None:
    """What is wrong between an experiment and its double; None: one of them is too long."""
    try:
        parse(twice(data), "twice")
    except ConfigError:  # beyond the largest time there is
        return None
    one = _ended(data)
    if isinstance(one, Ran) and any(2 * event[0] > LAST_NS for event in one.events):
        return None  # a client's pauses grow: the double would try again after the end of time
    with _constants_twice():
        other = _ended(twice(data))
    return _unequal(one, other)


def _ended(data: dict[str, Any]) -> Ran | str | None:
    try:
        return _run(data)
    except Exception as error:
        return type(error).__name__


def _unequal(one: Ran | str | None, other: Ran | str | None) -> list[str] | None:
    if one is None or other is None:
        return None
    if isinstance(one, str) or isinstance(other, str):
        ends = [end if isinstance(end, str) else "ended" for end in (one, other)]
        return [] if ends[0] == ends[1] else [f"{ends[0]}, and doubled: {ends[1]}"]
    if one.exit_code != other.exit_code:
        return [f"exit code {one.exit_code}, and doubled: {other.exit_code}"]
    first = [(2 * at_ns, *rest) for at_ns, *rest, _ in one.events]
    second = [(at_ns, *rest) for at_ns, *rest, _ in other.events]
    if first != second:
        pairs = zip(first, second, strict=False)
        odd = next((f"{a} against {b}" for a, b in pairs if a != b), "one is longer")
        return [f"doubled events differ ({len(first)}, {len(second)}): {odd}"]
    return []


def _exact(data: dict[str, Any], draw: Random) -> dict[str, Any]:
    """The same without what is rounded: shares of a link, and what is drawn from a range."""
    transceiver = data.setdefault("transceiver", {})
    transceiver |= {"max_inflight_transfers": 1, "max_inflight_transfers_per_peer": 1}
    transceiver.setdefault("link", {})["bandwidth"] = draw.choice(EXACT)
    transceiver["staging_bandwidth"] = EXACT[-1]
    data.pop("calibration", None)  # what is drawn from quantiles is rounded
    shape = ("layers", "kv_heads", "head_dim", "dtype_bytes")
    for key in ("preset", *shape, "time_scale", "device", "collective_backend"):
        data.get("model", {}).pop(key, None)
    for server in data["topology"].get("servers", ()):
        server.pop("preset", None)
    data.setdefault("kv_cache", {})["block_tokens"] = 16
    workload = data["workload"]
    if workload["kind"] == "poisson":
        workload |= {"kind": "closed_loop", "users": draw.choice((1, 3, 8))}
        del workload["rate"]
    if workload["kind"] == "trace":
        workload["speed"] = draw.choice((1.0, 16.0, 64.0))
        workload.pop("rate", None)  # drawn gaps are rounded
    if "cancel" in workload:
        workload["cancel"]["delay"] = {"min": "100ms", "max": "100ms"}
    for fault in data["faults"]:
        fault.pop("before", None)
        fault.pop("count", None)
        if "bandwidth" in fault:
            fault["bandwidth"] = draw.choice(EXACT)
    return data


def twice(data: dict[str, Any]) -> dict[str, Any]:
    """The experiment with every duration doubled and every rate halved, defaults spelled out."""
    dumped = parse(data, data["name"]).model_dump(by_alias=True)
    found: dict[str, Any] = _twice(dumped, ROOT, "")
    return found


def _twice(value: Any, node: Any, here: str) -> Any:
    if found := variants(node):
        name = value["kind"]
        return _twice(value, found[name], f"{here}({name})")
    if isinstance(value, dict):
        # Of several kinds of model, the one that has all of these keys.
        sections = [one["properties"] for one in alternatives(node) if "properties" in one]
        properties = next((one for one in sections if value.keys() <= one.keys()), None)
        if properties is None:
            return value  # its keys are not those of a schema: the axes of a sweep
        return {key: _twice(one, properties[key], place(here, key)) for key, one in value.items()}
    if isinstance(value, list | tuple):
        items = next(one for one in alternatives(node) if "items" in one)["items"]
        return [_twice(one, items, f"{here}[]") for one in value]
    if here in RATES and value is not None:
        return f"{parse_size(value) // 2}B"
    if here in SPEEDS and value is not None:
        return value / 2
    patterns = {one.get("pattern") for one in alternatives(node)}
    if units.DURATION_PATTERN in patterns and value is not None:
        fine = value.endswith("ns") and "." in value
        exact = parse_fine_duration(value) if fine else Fraction(parse_duration(value))
        return exact_duration(2 * exact)
    return value


@contextmanager
def _constants_twice() -> Iterator[None]:
    ours = [module for name, module in sys.modules.items() if name.startswith("adpkv.")]
    with ExitStack() as stack:
        for name in CONSTANTS:
            holders = [module for module in ours if hasattr(module, name)]
            assert holders, f"{name} is gone: what has taken its place?"
            for module in holders:
                stack.enter_context(patch.object(module, name, 2 * getattr(module, name)))
        yield


# -- other places ------------------------------------------------------------------------------

PINNED_FAULTS: Final = ("delay", "stall", "fail", "slow_link", "handle_error", "lose", "sigstop")


def permuted(seed: int) -> Pair:
    """An experiment in which everything is pinned, and what is wrong when ranks change places."""
    draw = Random(f"permuted {seed}")
    data = _pinned(_drawn(seed, kinds=PINNED_FAULTS), draw)
    topology = parse(data, data["name"]).topology.build()
    places = _places(topology, draw, stops=any(f["kind"] == "sigstop" for f in data["faults"]))
    moved = _moved(data, topology, places)
    one, other = _ended(data), _ended(moved)
    if one is None or other is None:
        return data, None
    if not isinstance(one, Ran) or not isinstance(other, Ran):
        ends = [end if isinstance(end, str) else "ended" for end in (one, other)]
        return data, [] if ends[0] == ends[1] else [f"{ends[0]}, and permuted: {ends[1]}"]
    if one.exit_code != other.exit_code:
        return data, [f"exit code {one.exit_code}, and permuted: {other.exit_code}"]
    first, second = ([_told(record) for record in ran.records] for ran in (one, other))
    pairs = zip(sorted(first), sorted(second), strict=False)
    odd = next((f"{a} against {b}" for a, b in pairs if a != b), None)
    return data, [] if odd is None else [f"permuted: places {places}: {odd}"]


def _told(record: Any) -> tuple[Any, ...]:
    return (
        *(record.request_id, str(record.outcome), record.tokens, record.arrival_ns),
        *(record.ended_ns, record.columns()),
    )


def _pinned(data: dict[str, Any], draw: Random) -> dict[str, Any]:
    """Every request has its rank, and every fault its ranks."""
    groups = data["topology"]
    groups.pop("attention", None)
    groups.pop("servers", None)
    for key in ("instances", "spares"):  # of answers at one instant, a rank's is first
        groups["generation"].pop(key, None)
    for kind in ("context", "generation"):
        groups[kind]["ranks"] = draw.choice((2, 2, 3, 4))
    least = min(groups[kind]["ranks"] for kind in ("context", "generation"))
    instances = groups["context"].get("instances", 1) + 1
    if "maintenance" in groups:
        groups["maintenance"] = [m for m in groups["maintenance"] if m["instance"] < instances]
    senders = groups["context"].get("instances", 1) * groups["context"]["ranks"]
    ranks = senders + groups["generation"].get("instances", 1) * groups["generation"]["ranks"]
    data.pop("on_rank_failure", None)
    data.pop("recompute", None)
    data.pop("calibration", None)  # what is drawn from quantiles is drawn by rank
    data["workload"] = {
        "kind": "script",
        "requests": [
            {
                "at": f"{draw.randrange(1_000_000) * (1 + number)}ns",
                "prompt_tokens": draw.choice((1, 9, 64, 150)),
                "output_tokens": draw.choice((1, 2, 8)),
                "wanted": draw.randrange(least),
            }
            for number in range(draw.choice((1, 3, 8)))
        ],
    }
    data["kv_cache"] = {"block_tokens": 16, "blocks": 1024}
    data["transceiver"] = {
        key: value
        for key, value in data.get("transceiver", {}).items()
        if key in ("mail_latency", "link", "transfer_timeout", "wait_timeout")
    }
    shape = ("layers", "kv_heads", "head_dim", "dtype_bytes")
    for key in ("preset", *shape, "time_scale", "device", "collective_backend"):
        data.get("model", {}).pop(key, None)
    data.pop("diagnosis", None)
    for fault in data["faults"]:
        for key in ("probability", "before", "peers", "phase"):
            fault.pop(key, None)
        if fault["kind"] == "lose":
            fault["phase"] = draw.choice(("began", "ended", "advertise"))
        side = range(senders) if fault.get("phase") != "advertise" else range(senders, ranks)
        if fault["kind"] == "sigstop":
            fault.pop("count", None)
            side = range(ranks)
        fault["ranks"] = sorted(draw.sample(side, draw.randint(1, len(side))))
    return data


def _places(topology: Topology, draw: Random, *, stops: bool) -> list[int]:
    """Where each of the first ranks of a group goes; a request is pinned alike in all groups.

    A leader looks at its messages before its group's first collective, the others after it. That is
    one instant, unless a rank `stops` there: then what comes meanwhile is seen by the others first,
    so the leaders stay where they are.
    """
    least = min(len(instance.members) for instance in topology.instances)
    if stops:
        return [0, *draw.sample(range(1, least), least - 1)]
    return draw.sample(range(least), least)


def _moved(data: dict[str, Any], topology: Topology, places: list[int]) -> dict[str, Any]:
    goes = list(range(topology.ranks))
    for instance in topology.instances:
        for at, to in enumerate(places):
            goes[instance.members[at]] = instance.members[to]
    requests = [one | {"wanted": places[one["wanted"]]} for one in data["workload"]["requests"]]
    faults = [f | {"ranks": sorted(goes[rank] for rank in f["ranks"])} for f in data["faults"]]
    return data | {"workload": data["workload"] | {"requests": requests}, "faults": faults}


# -- one trouble less --------------------------------------------------------------------------


def relieved(seed: int) -> Pair:
    """An experiment in which no deadline can bind, and what is wrong if one fault is left out."""
    draw = Random(f"relieved {seed}")
    # A lie that nobody came to be told is told when what stood before it is gone.
    kinds = tuple(kind for kind in KINDS if kind not in BROKEN_BY_DESIGN)
    data = _drawn(seed, least_faults=1, kinds=kinds)
    for (section, key), value in UNBINDING.items():
        data.setdefault(section, {})[key] = value
    left_out = draw.randrange(len(data["faults"]))
    faults = list(data["faults"])
    faults[left_out] = {"kind": "stall", "probability": 0.0}  # the others keep their numbers
    relief = data | {"faults": faults}
    before, after = _code(data), _code(relief)
    if before is None or after is None:
        return data, None
    most = EXIT_PRECEDENCE.index(ExitCode(before))
    if any(fault["kind"] == "sigkill" for fault in faults):
        most = min(
            most, EXIT_PRECEDENCE.index(ExitCode.RANK_LOST)
        )  # who lives on for longer may meet it now
    if EXIT_PRECEDENCE.index(ExitCode(after)) < most:
        return data, [f"exit code {before}, and without fault {left_out}: {after}"]
    return data, []


def _code(data: dict[str, Any]) -> int | None:
    try:
        ran = _run(data)
    except Exception as error:
        return int(getattr(error, "exit_code", ExitCode.INTERNAL_ERROR))
    return None if ran is None else ran.exit_code
