"""Gives out the batches of an exploration, takes in what came of them, and makes the finds small.

Which seeds there are depends on the caller; what comes of a seed does not depend on who made it.
Finds are merged by their signature: of each the one with the smallest seed is kept.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from adpkv.config import Experiment
from adpkv.config.workload import ScriptConfig
from adpkv.errors import UsageError
from adpkv.exit_codes import ExitCode
from adpkv.exploration.batch import PCT_EVENTS, BatchResult, Find, Task, case_of, owners
from adpkv.exploration.cases import MOST_DEPTH
from adpkv.exploration.coverage import Coverage
from adpkv.exploration.drawing import draw
from adpkv.exploration.pool import Lost, Pool
from adpkv.exploration.replay_file import Recorded, file_text, read_text, record, token
from adpkv.exploration.result import Exploration, Found
from adpkv.exploration.schedules import Choices
from adpkv.exploration.shrinking import MOST_S, shrink
from adpkv.exploration.trial import attempt, check_ports, signature
from adpkv.exploration.variation import variation

__all__ = ["BATCH", "STRATEGIES", "Campaign", "Plan", "Watching", "plan_for", "run_campaign"]

BATCH: Final = 100
"""Seeds of a batch, of four ranks; of more ranks they are fewer. What is halted loses a batch."""
LEAST_BATCH: Final = 5
FOUR: Final = 4
GUIDED: Final = 10
"""A batch of `guided` learns for itself: so it is so many times longer."""

STRATEGIES: Final = ("random", "pct", "guided")
LEAST_MADE: Final = 1000
"""Seeds that a process has run before its memory is of interest."""
MEASURED_EVERY: Final = 10_000
"""And from then on it is told after each so many."""
LAST_SEED: Final = 1 << 62
WAIT_S: Final = 0.2

WORKER_LOST: Final = "worker_lost"
"""The signature of a seed that has ended its process."""

Watching = Callable[["Campaign"], None]
"""Told of every batch."""


class Plan(msgspec.Struct, frozen=True):
    """What is explored. Two explorations with equal plans have equal results."""

    name: str
    experiment: str
    """The base, as JSON."""
    strategy: str
    depth: int = 0
    first: int = 0
    last: int = LAST_SEED
    """The seeds from `first` to below `last`; a time may end it earlier."""
    batch: int = BATCH
    """How many seeds are given out at once."""

    @property
    def said(self) -> str:
        """The strategy as on the command line."""
        return f"pct:{self.depth}" if self.strategy == "pct" else self.strategy


def plan_for(experiment: Experiment, strategy: str, first: int, last: int) -> Plan:
    """The plan of an exploration.

    Raises:
        UsageError: the experiment cannot be varied, a port that it names cannot be made, or there
            is no such strategy.
    """
    where = variation(experiment)
    name, _, depth = strategy.partition(":")
    if name not in STRATEGIES or (depth and name != "pct"):
        raise UsageError(
            f"--strategy {strategy}: is not known here: random, pct:DEPTH, guided or exhaustive"
        )
    deep = 0
    if name == "pct":
        if not depth.isdecimal() or not 1 <= int(depth) <= MOST_DEPTH:
            raise UsageError(f"--strategy {strategy}: needs a depth from 1 to {MOST_DEPTH}: pct:3")
        deep = int(depth)
    if not 0 <= first < last:
        raise UsageError(f"--seeds {first}:{last}: there is no seed from {first} to below {last}")
    check_ports(draw(where, first))
    base = where.base.model_dump(by_alias=True, mode="json")
    data = msgspec.json.encode(base).decode()
    batch = max(LEAST_BATCH, min(BATCH, BATCH * FOUR // where.topology.ranks))
    if name == "guided":
        batch *= GUIDED
    return Plan(experiment.name, data, name, deep, first, last, batch)


@dataclass(slots=True)
class Campaign:
    """What came of the batches so far."""

    plan: Plan
    done: set[int] = field(default_factory=set)
    """The numbers of the batches whose results are in the sums."""
    begun: dict[int, int] = field(default_factory=dict)
    """The number of a batch whose time was over -> its first seed that was not run."""
    seeds: int = 0
    events: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    finds: dict[str, Find] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=Coverage)
    twice: int = 0
    differed: list[int] = field(default_factory=list)
    busy: int = 0
    memory_kib: dict[int, int] = field(default_factory=dict)
    """1,000, 10,000, 20,000, ... -> of the largest process that has run so many seeds, and not yet
    the next number of them."""

    def take(self, result: BatchResult) -> None:
        """Count a batch; it is done, unless it was broken off."""
        if not result.broken_off:
            self.done.add(result.number)
        self.seeds += result.last - result.first
        self.events += result.events
        self.counts.update(result.counts)
        self.coverage.add(result.facts)
        self.twice += result.twice
        self.differed += result.differed
        if result.made >= LEAST_MADE:
            made = result.made // MEASURED_EVERY * MEASURED_EVERY or LEAST_MADE
            self.memory_kib[made] = max(self.memory_kib.get(made, 0), result.resident_kib)
        for find in result.finds:
            known = self.finds.get(find.signature)
            if known is None or find.seed < known.seed:
                self.finds[find.signature] = find

    def take_kept(self, result: BatchResult) -> None:
        """Count what was kept before: all of a batch, or its beginning."""
        self.take(result)
        if result.broken_off:
            self.begun[result.number] = result.last

    def span(self, number: int) -> tuple[int, int]:
        """The seeds of a batch that are left: the first, and the one after the last."""
        size = self.plan.batch
        first = self.plan.first + number * size
        return self.begun.get(number, first), min(first + size, self.plan.last)

    def tasks(self) -> Iterator[Task]:
        """The batches that are not done yet, in order."""
        plan, number = self.plan, 0
        while (span := self.span(number))[0] < plan.last:
            if number not in self.done and span[0] < span[1]:
                yield Task(number, plan.experiment, plan.strategy, plan.depth, *span)
            number += 1


def run_campaign(
    campaign: Campaign,
    pool: Pool,
    *,
    until_s: float | None = None,
    watch: Watching = lambda campaign: None,
    keep: Callable[[BatchResult], None] = lambda result: None,
    most_finds: int | None = None,
) -> None:
    """Make what is left of the batches.

    Args:
        until_s: of `time.monotonic`: no batch begins later.
        keep: called with each result as soon as it is there.
        most_finds: end as soon as there are so many different ones; what else is under way is not
            waited for.
    """
    tasks, again = campaign.tasks(), list[Task]()
    parts: dict[int, list[BatchResult]] = {}
    more = True
    while more or pool.busy:
        late = until_s is not None and time.monotonic() >= until_s
        if most_finds is not None and len(campaign.finds) >= most_finds:
            return
        if late:
            more = False
        while more and pool.free > 0:
            task = again.pop() if again else next(tasks, None)
            more = task is not None
            if task is not None:
                left = 0 if most_finds is None else most_finds - len(campaign.finds)
                left_s = None if until_s is None else until_s - time.monotonic()
                pool.give(msgspec.structs.replace(task, most_finds=left, most_s=left_s))
        campaign.busy = pool.busy
        for result in pool.results(WAIT_S):
            if isinstance(result, Lost):
                part, rest = _after(campaign.plan, result)
                again += rest
                more = more or (bool(rest) and not late)
            else:
                part = result
            if part.broken_off:
                met = {*campaign.finds, *(find.signature for find in part.finds)}
                if most_finds is not None and len(met) >= most_finds:
                    campaign.take(part)
                    watch(campaign)
                    return
                if until_s is not None and time.monotonic() >= until_s:
                    _cut_off(campaign, part, parts, keep)
                    watch(campaign)
                    continue
                # Others have met the same meanwhile: what is left of the batch is another part.
                again.append(_left_of(campaign, part))
                more, part = True, msgspec.structs.replace(part, broken_off=False)
            whole = _whole(campaign, part, parts)
            if whole is not None:
                campaign.take(whole)
                keep(whole)
                watch(campaign)


def _cut_off(
    campaign: Campaign,
    part: BatchResult,
    parts: dict[int, list[BatchResult]],
    keep: Callable[[BatchResult], None],
) -> None:
    """The time of a batch is over: what was run counts. Where it is the beginning of the batch, who
    goes on begins behind it; one that learns is made again as a whole."""
    campaign.take(part)
    begins = part.first == campaign.span(part.number)[0] and part.number not in parts
    if begins and campaign.plan.strategy != "guided":
        campaign.begun[part.number] = part.last
        keep(part)


def _after(plan: Plan, lost: Lost) -> tuple[BatchResult, list[Task]]:
    """A worker was lost: the seed that ended it as a find, and what there is to do again. The
    results of the seeds before it went with the worker."""
    task, seed = lost.task, max(lost.seed, lost.task.first)
    case = case_of(variation(_experiment(plan)), task.strategy, task.depth, seed)
    code = ExitCode.INTERNAL_ERROR
    kept = file_text(Recorded(case, WORKER_LOST, lost.why, code, "", seed))
    find = Find(WORKER_LOST, seed, lost.why, code, stuck=False, file=kept)
    part = BatchResult(task.number, seed, seed + 1, 0, [find], {WORKER_LOST: 1}, {})
    spans = ((task.first, seed), (seed + 1, task.last))
    return part, [msgspec.structs.replace(task, first=a, last=b) for a, b in spans if a < b]


def _left_of(campaign: Campaign, part: BatchResult) -> Task:
    """What a batch that was broken off has not run."""
    plan, (_, last) = campaign.plan, campaign.span(part.number)
    return Task(part.number, plan.experiment, plan.strategy, plan.depth, part.last, last)


def _whole(
    campaign: Campaign, part: BatchResult, parts: dict[int, list[BatchResult]]
) -> BatchResult | None:
    """The result of a batch once all its parts are there: only then it is done."""
    first, last = campaign.span(part.number)
    found = [*parts.get(part.number, ()), part]
    if sum(one.last - one.first for one in found) < last - first:
        parts[part.number] = found
        return None
    parts.pop(part.number, None)
    counts, facts = Counter[str](), Counter[str]()
    for one in found:
        counts.update(one.counts)
        facts.update(one.facts)
    return BatchResult(
        part.number,
        first,
        last,
        sum(one.events for one in found),
        [find for one in found for find in one.finds],
        dict(counts),
        dict(facts),
        sum(one.twice for one in found),
        [seed for one in found for seed in one.differed],
        sum(one.wall_s for one in found),
        max(one.made for one in found),
        max(one.resident_kib for one in found),
    )


def _experiment(plan: Plan) -> Experiment:
    from adpkv.config import parse

    data: dict[str, Any] = msgspec.json.decode(plan.experiment)
    return parse(data, plan.name)


def concluded(
    campaign: Campaign,
    wall_s: float,
    *,
    halted: bool = False,
    most_s: float = MOST_S,
    watch: Callable[[str], None] = lambda known_by: None,
) -> Exploration:
    """Make the finds small; what the exploration has found.

    Args:
        most_s: how long one find may take.
        watch: told of each find before it is made small.
    """
    finds = []
    for known_by, find in sorted(campaign.finds.items(), key=lambda pair: pair[1].seed):
        watch(known_by)
        finds.append(_small(find, campaign.counts[known_by], most_s))
    plan = campaign.plan
    bound = None
    if plan.strategy == "pct":
        count = owners(variation(_experiment(plan)))
        bound = 1 / (count * PCT_EVENTS ** (plan.depth - 1))
    return Exploration(
        plan.name,
        plan.said,
        campaign.seeds,
        plan.first,
        wall_s,
        tuple(finds),
        campaign.coverage,
        campaign.twice,
        tuple(sorted(campaign.differed)),
        halted,
        bound,
        memory_kib=dict(sorted(campaign.memory_kib.items())),
    )


def _small(find: Find, count: int, most_s: float) -> Found:
    recorded, tries = read_text(find.file, find.signature), 0
    if most_s > 0 and find.signature != WORKER_LOST:
        # A run that ended its worker must not end this process as well.
        shrunk = shrink(recorded.case, find.signature, most_s)
        trial = attempt(shrunk.case)
        tries = shrunk.tries
        if signature(trial.found) == find.signature:
            recorded = record(trial, find.seed)
    experiment, schedule = recorded.case.experiment, recorded.case.schedule
    workload = experiment.workload
    assert isinstance(workload, ScriptConfig)
    recorded = replace(recorded, seed=find.seed)
    return Found(
        find.signature,
        count,
        find.seed,
        recorded.detail or find.detail,
        find.exit_code,
        find.stuck,
        file_text(recorded),
        token(recorded),
        experiment.topology.ranks,
        sum(one.times for one in workload.requests),
        tuple(fault.kind for fault in experiment.faults),
        len(schedule) if isinstance(schedule, Choices) else 0,
        tries,
    )
