"""A batch: some seeds in a row, and what came of them. The unit of work of an exploration.

A batch is a pure function of its task, so it does not matter who makes it, when, or beside which
others: the same exploration gives the same finds with any number of jobs.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec

from adpkv.config import parse
from adpkv.exploration.cases import Case, Pct
from adpkv.exploration.dice import Dice
from adpkv.exploration.drawing import draw
from adpkv.exploration.entropy import audited
from adpkv.exploration.facts import ObservedTables, facts_of, pairs_of
from adpkv.exploration.garbage import collected_apart
from adpkv.exploration.mutating import mutated
from adpkv.exploration.replay_file import file_text, record
from adpkv.exploration.shrinking import written
from adpkv.exploration.trial import Trial, attempt, signature
from adpkv.exploration.variation import Variation, variation

__all__ = ["BatchResult", "Find", "Task", "perform"]

TWICE_EVERY: Final = 100
"""Each so many-th seed is run twice, and compared event by event. The second time, reading a clock
or another source of chance is an error."""

PCT_EVENTS: Final = 512
"""Choices of order among which the change points of PCT are drawn; more count from there on as if
they came before."""

MOST_KEPT: Final = 200
"""Cases that `guided` mutates; the newest stay."""


class Task(msgspec.Struct, frozen=True):
    """What a worker is to do. `experiment` is the base as JSON, `strategy` as on the command line
    without its depth."""

    number: int
    experiment: str
    strategy: str
    depth: int
    first: int
    last: int
    """The seeds from `first` to below `last`."""
    most_finds: int = 0
    """End behind the seed at which so many different finds were made; 0: run all."""
    most_s: float | None = None
    """Begin no more seeds so many seconds after it began; but the first is run."""


class Find(msgspec.Struct, frozen=True):
    """Something that was wrong, as it was met first."""

    signature: str
    seed: int
    detail: str
    exit_code: int
    stuck: bool
    file: str
    """The replay file."""


class BatchResult(msgspec.Struct, frozen=True):
    """What came of a task."""

    number: int
    first: int
    last: int
    events: int
    """Of the event queues of all runs."""
    finds: list[Find]
    """The first of each signature."""
    counts: dict[str, int]
    """How many seeds had each signature."""
    facts: dict[str, int]
    twice: int = 0
    differed: list[int] = []
    """Of the seeds that were run twice, those whose two runs were not the same."""
    wall_s: float = 0.0
    made: int = 0
    """Seeds that its process has run by then; 0 where nobody counts."""
    resident_kib: int = 0
    """Memory of its process behind it."""
    broken_off: bool = False
    """It ended at its most finds or seconds: its batch is not done."""


Note = Callable[[int], None]
"""Told of each seed before it is run: whoever is killed by it has left word."""


@lru_cache(maxsize=4)
def _variation(experiment: str) -> Variation:
    data: dict[str, Any] = msgspec.json.decode(experiment)
    return variation(parse(data, data["name"]))


def perform(task: Task, note: Note = lambda seed: None) -> BatchResult:
    """Run the seeds of a task."""
    began_s = time.perf_counter()
    batch = _Batch(_variation(task.experiment), task)
    last = task.last
    until_s = math.inf if task.most_s is None else began_s + task.most_s
    with collected_apart() as collect:
        for seed in range(task.first, task.last):
            if seed > task.first and time.perf_counter() >= until_s:
                last = seed
                break
            note(seed)
            batch.run(seed)
            collect()
            if task.most_finds and len(batch.finds) >= task.most_finds:
                last = seed + 1
                break
    batch.facts.update(batch.observed.counts)
    return BatchResult(
        number=task.number,
        first=task.first,
        last=last,
        events=batch.events,
        finds=list(batch.finds.values()),
        counts=dict(batch.counts),
        facts=dict(batch.facts),
        twice=batch.twice,
        differed=batch.differed,
        wall_s=time.perf_counter() - began_s,
        broken_off=last < task.last,
    )


class _Batch:
    """What came of the seeds of a task so far."""

    def __init__(self, where: Variation, task: Task) -> None:
        self._where, self._task = where, task
        self._cases = _Guided(where, task) if task.strategy == "guided" else None
        self.observed = ObservedTables()
        self.finds: dict[str, Find] = {}
        self.counts: Counter[str] = Counter()
        self.facts: Counter[str] = Counter()
        self.twice, self.events = 0, 0
        self.differed: list[int] = []

    def run(self, seed: int) -> None:
        """Make the run of a seed, and count what it has shown."""
        task, cases, observed = self._task, self._cases, self.observed
        if cases is None:
            case = case_of(self._where, task.strategy, task.depth, seed)
        else:
            case = cases.next(seed)
        trial = attempt(case, rules=observed.rules)
        self.events += len(trial.events)
        told = facts_of(trial.events)
        self.facts.update(told)
        # What is wrong is not kept: its like would be found again and again, and may never end.
        if cases is not None and not trial.found:
            cases.learn(case, {*told, *pairs_of(trial.events), *_new(observed, self.facts)})
        if trial.found:
            known_by = signature(trial.found)
            self.counts[known_by] += 1
            if known_by not in self.finds:
                self.finds[known_by] = _find(trial, known_by, seed)
        if seed % TWICE_EVERY == 0:
            self.twice += 1
            with audited():
                again = attempt(case, rules=observed.rules)
            if again.events != trial.events:
                self.differed.append(seed)


def case_of(where: Variation, strategy: str, depth: int, seed: int) -> Case:
    """The case of a seed under `random` or `pct`."""
    case = draw(where, seed)
    if strategy != "pct":
        return case
    return case.under(Pct(seed, depth, owners(where), PCT_EVENTS))


def owners(where: Variation) -> int:
    """Who owns events: the ranks, the groups and the coordinator."""
    return where.topology.ranks + len(where.topology.instances) + 1


def _find(trial: Trial, known_by: str, seed: int) -> Find:
    case = written(trial.case)
    again = attempt(case)
    text = file_text(record(again, seed))
    detail = trial.found[0].detail
    return Find(known_by, seed, detail, int(trial.exit_code), trial.stuck, text)


def _new(observed: ObservedTables, facts: Counter[str]) -> Iterator[str]:
    """Lines of the tables that were used for the first time."""
    for line in observed.counts.keys() - facts.keys():
        facts[line] = 0
        yield line


class _Guided:
    """Mutates the cases that reached something new; a quarter of the seeds is drawn afresh."""

    def __init__(self, where: Variation, task: Task) -> None:
        self._where, self._seen = where, set[str]()
        self._kept: list[Case] = []

    def next(self, seed: int) -> Case:
        """The case of a seed, which depends on those before it in its batch."""
        dice = Dice(seed, 0x601DE)
        if not self._kept or dice.chance(1, 4):
            return draw(self._where, seed)
        # The newest half is twice as likely: what is rare leads to what is rarer.
        kept = self._kept[len(self._kept) // 2 :] if dice.chance(1, 3) else self._kept
        return mutated(self._where, dice.choice(kept), dice, seed)

    def learn(self, case: Case, facts: set[str]) -> None:
        """Keep it, if it reached something new."""
        if facts <= self._seen:
            return
        self._seen |= facts
        self._kept.append(case)
        del self._kept[:-MOST_KEPT]
