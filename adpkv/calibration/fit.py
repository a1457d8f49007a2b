"""Fits a calibration to the samples of runs: what can be measured directly.

An iteration with a step takes as long as its slowest rank's step, its small collectives, and the
rest: a part that each has, parts for the work that its ranks did in it (least squares without
negative parts), stalls, and noise, which is kept as quantiles. All parts of an iteration add up to
the time from its intake to the next one's, so nothing is counted twice and nothing is left out.

A message goes out when its iteration has come to it: of its way only what is beside that work is
its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np

from adpkv.calibration.crowding import by_crowding
from adpkv.calibration.iterations import COLUMNS, Iteration, features, work_ns
from adpkv.calibration.noise import as_durations
from adpkv.calibration.samples import Message, RunSamples
from adpkv.calibration.stalls import nanoseconds, stalls_of, told, usual, usual_ns
from adpkv.calibration.ways import FEWEST, Look, arrived_after
from adpkv.config.calibration import (
    PROBABILITIES,
    CalibrationConfig,
    StepCalibration,
)

__all__ = ["fitted"]

COLLECTIVES: Final = 4
"""Collectives of an iteration with a step, that of the step included."""

SMALL: Final = 3
"""Those before an iteration's step or wait."""

SHORTEST_NS: Final = 30_000
"""From a call of MPI until another process can see what it sent: too short to be told apart from
when that process looks."""

BACKOFF_NS: Final = 1_000_000
LEAST_BACKOFF_NS: Final = 50_000
MOST_BACKOFFS: Final = 3
"""Real ranks that wait sleep for twice as long each time, from the second to the first; they need
two looks to see a message, and cannot be later than by some of these sleeps."""

CUT: Final = 0.995
"""The slowest steps of all do not decide about their coefficients; they are in the noise."""

REFITS: Final = 5
"""Nor do stalled iterations about their parts: fitted again without them."""

LEAST_SHARE: Final = 0.02
"""A coefficient of a step whose part in steps is less than this is taken as right."""

Array = np.ndarray[Any, np.dtype[np.float64]]


def fitted(runs: Sequence[RunSamples], others: Sequence[RunSamples] = ()) -> CalibrationConfig:
    """The calibration that these runs show, which share cores alike. `others` do it in other ways:
    they only tell what work costs, as they may have KV blocks of sizes that these have not."""
    step = _step(runs)
    own = _Iterations.of(runs, step)
    beside = [_Iterations.of(them, step) for them in by_crowding(others).values()]
    costs = _parts([kind for one in (own, *beside) for kind in one.kinds()])
    by_size, rest, collective_ns = own.with_step, own.rest, own.collective_ns
    idle, idle_rest = own.idle, own.idle_rest
    groups = [
        _group(
            size,
            them,
            rest[size],
            collective_ns[size],
            _idle_ns(idle[size], idle_rest.get(size), costs),
            costs,
        )
        for size, them in sorted(by_size.items())
    ]
    section: dict[str, Any] = {
        "step": step.model_dump(by_alias=True),
        "start": nanoseconds(_middle([run.start_ns for run in runs], 0.0)),
        "groups": groups,
        "requests": {
            "assigned": _work("assigned", costs),
            "prefilled": _work("prefill", costs),
            "advertised": _work("advertised", costs),
            "answered": _work("answered", costs),
        },
        "messages": _messages(runs, costs),
        "transfers": {
            "posted": _work("posted", costs),
            "sent": _work("sent", costs),
            "received": _work("received", costs),
            "latency": nanoseconds(
                # The iteration that sees it may have begun before it was there.
                SHORTEST_NS
                + _middle([ns for run in runs for ns in run.posted], 0.0)
                - _middle([ns for run in runs for ns in run.seen], 0.0)
            ),
            "bandwidth": _bandwidth(runs),
        },
    }
    return CalibrationConfig.model_validate(section)


def _work(what: str, costs: Array) -> dict[str, str]:
    """The costs of one kind of work, as the configuration has them."""
    names = {"once": "once", "each": "each", "blocks": "per_block", "KiB": "per_kib"}
    return {
        key: _fine(costs[COLUMNS.index(f"{what} {part}")])
        for part, key in names.items()
        if f"{what} {part}" in COLUMNS
    }


def _messages(runs: Sequence[RunSamples], costs: Array) -> dict[str, Any]:
    way_ns = _arrived([one for run in runs for one in run.addresses])[PROBABILITIES.index(0.5)]

    def beside_work(messages: Iterable[Message]) -> list[float]:
        return [
            max(one.since_ns - work_ns(one.iteration, costs, one.rank), 0.0) for one in messages
        ]

    return {
        "to_coordinator": _spread(beside_work(one for run in runs for one in run.to_coordinator)),
        "beside_coordinator": _spread(
            beside_work(one for run in runs for one in run.beside_coordinator)
        ),
        "admitted": _spread(
            usual([one.coordinator_queue_ns for run in runs for one in run.records])
        ),
        "from_coordinator": told(_arrived([one for run in runs for one in run.from_coordinator])),
        "between_ranks": _spread(
            [ns + way_ns for ns in beside_work(one for run in runs for one in run.between_ranks)]
        ),
        # Without those that a stall held up, which is there by itself.
        "notice": _spread(usual([_as_late(*one) for run in runs for one in run.notices])),
        "backoff": nanoseconds(BACKOFF_NS),
    }


def _as_late(waited_ns: int, notice_ns: int) -> float:
    """How much later it had been noticed if the group had waited for longer."""
    share = min(max(waited_ns, LEAST_BACKOFF_NS) / BACKOFF_NS, 1.0)
    return min(max(notice_ns - SHORTEST_NS, 0) / share, MOST_BACKOFFS * BACKOFF_NS)


def _step(runs: Sequence[RunSamples]) -> StepCalibration:
    """What steps take beyond the model's coefficients: by least squares, without what is small."""
    samples = [one for run in runs for one in run.steps]
    over = np.array([one.own_ns - one.line_ns for one in samples])
    batches = np.array([one.batch for one in samples], dtype=np.float64)
    keep = over <= np.quantile(over, CUT)
    columns = [np.ones(len(samples)), *batches.T]
    # What never changes cannot be told from what each step has.
    told = [0, *(place for place in range(1, 5) if np.ptp(columns[place]) > 0)]
    found = np.zeros(5)
    found[told] = _least_squares(np.array([columns[place] for place in told]).T[keep], over[keep])
    whole = float(np.mean([one.line_ns for one in samples]))
    for place in range(1, 5):
        part = found[place] * float(np.mean(columns[place]))
        if part < LEAST_SHARE * whole:
            found[place] = 0.0
    base_ns = float(np.median(over - np.array(columns[1:]).T @ found[1:]))
    added = (base_ns, *found[1:])
    aliases = [str(field.alias) for field in StepCalibration.model_fields.values()]
    return StepCalibration.model_validate(dict(zip(aliases, map(_fine, added), strict=True)))


def _collective_ns(runs: Sequence[RunSamples], size: int) -> float:
    return _middle([ns for run in runs for ns in run.collectives.get(size, ())], 0.0)


def _idle_ns(them: Sequence[Iteration], rest: Array | None, costs: Array) -> float:
    """What iterations without a step take beside collectives and work."""
    return 0.0 if rest is None else float(np.median(rest - features(them, costs) @ costs))


def _rest_ns(one: Iteration, step: StepCalibration, collective_ns: float) -> float:
    """What an iteration took beside its step and its collectives."""
    added = (
        step.base_ns, step.prefill_token_ns, step.prefill_pair_ns, step.sequence_ns,
        step.context_token_ns,
    )  # fmt: skip
    slowest = max(
        line + sum(float(ns) * count for ns, count in zip(added, (1, *batch), strict=True))
        for line, batch in one.lines
    )
    return one.took_ns - slowest - COLLECTIVES * collective_ns


Kind = tuple[Sequence[Iteration], Array]
"""Iterations of groups of one size, all with a step or all without, and what they took beside that
and collectives."""


class _Iterations(NamedTuple):
    """Those of runs that share cores alike, by size of the group: with a step and without, and what
    they took beside that and collectives."""

    with_step: dict[int, list[Iteration]]
    rest: dict[int, Array]
    idle: dict[int, list[Iteration]]
    idle_rest: dict[int, Array]
    collective_ns: dict[int, float]

    @classmethod
    def of(cls, runs: Sequence[RunSamples], step: StepCalibration) -> _Iterations:
        with_step: dict[int, list[Iteration]] = defaultdict(list)
        idle: dict[int, list[Iteration]] = defaultdict(list)
        for run in runs:
            for one in run.iterations:
                with_step[one.ranks].append(one)
            for one in run.idle:
                idle[one.ranks].append(one)
        collective_ns = {size: _collective_ns(runs, size) for size in with_step}
        rest = {
            size: np.array([_rest_ns(one, step, collective_ns[size]) for one in them])
            for size, them in with_step.items()
        }
        idle_rest = {
            size: np.array([one.took_ns - SMALL * collective_ns.get(size, 0.0) for one in them])
            for size, them in idle.items()
        }
        return cls(with_step, rest, idle, idle_rest, collective_ns)

    def kinds(self) -> list[Kind]:
        """All of them."""
        return [
            (them[size], rest[size])
            for them, rest in ((self.with_step, self.rest), (self.idle, self.idle_rest))
            for size in sorted(them)
        ]


def _parts(kinds: Sequence[Kind]) -> Array:
    """What each of `COLUMNS` adds. Iterations of one kind have a part in common beside that."""
    right = np.concatenate([rest for _, rest in kinds])
    which = np.repeat(np.eye(len(kinds)), [len(them) for them, _ in kinds], axis=0)
    costs = np.ones(len(COLUMNS))
    keep = np.ones(len(right), dtype=np.bool_)
    for _ in range(REFITS):
        # Which rank is the slowest follows from what each thing costs, and the other way round.
        left = np.hstack([which, np.concatenate([features(them, costs) for them, _ in kinds])])
        found = _least_squares(left[keep], right[keep])
        costs = found[len(kinds) :]
        over = right - left @ found
        keep = over <= usual_ns(over)
    return costs


def _group(
    size: int,
    them: Sequence[Iteration],
    rest: Array,
    collective_ns: float,
    idle_ns: float,
    costs: Array,
) -> dict[str, Any]:
    noise = rest - features(them, costs) @ costs
    stalls, steady = stalls_of(them, noise)
    noise = noise[steady]
    # What all iterations have is no noise: but for the fastest ones, of which there are few.
    always = max(float(np.quantile(noise, 0.02)), 0.0)
    return {
        "ranks": size,
        "collective": nanoseconds(collective_ns),
        "iteration": nanoseconds(always),
        "per_sequence": _fine(costs[0]),
        "idle": nanoseconds(idle_ns),
        "jitter": told(as_durations(noise - always)),
        "stalls": stalls,
    }


def _spread(values: Sequence[float]) -> dict[str, str]:
    return told(np.quantile(values, PROBABILITIES)) if values else {}


def _bandwidth(runs: Sequence[RunSamples]) -> str:
    """As the experiments say: what a transfer takes for its bytes is in posts and notices."""
    return f"{max(run.experiment.transceiver.link.bandwidth_bytes_per_s for run in runs)}B"


def _least_squares(rows: Array, values: Array) -> Array:
    """The least squares solution without negative parts: columns whose part would be negative
    leave, the worst first."""
    there = list(range(rows.shape[1]))
    found = np.zeros(rows.shape[1])
    while there:
        solution = np.linalg.lstsq(rows[:, there], values, rcond=None)[0]
        worst = int(np.argmin(solution))
        if solution[worst] >= 0:
            found[there] = solution
            break
        del there[worst]
    return found


def _arrived(looks: Sequence[Look]) -> list[float]:
    """How long messages are under way, as quantiles."""
    if len(looks) < FEWEST:
        return [float(SHORTEST_NS)] * len(PROBABILITIES)
    return arrived_after(looks, PROBABILITIES)


def _middle(values: Sequence[float], otherwise: float) -> float:
    return float(median(values)) if values else otherwise


def _fine(ns: float) -> str:
    return f"{max(ns, 0.0):.3f}ns"
