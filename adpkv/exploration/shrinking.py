"""Makes a find small: fewer ranks, requests, blocks, faults and choices, while the same oracle
speaks in the same way.

Greedy, in the manner of hypothesis: what can be left out is left out, then what remains is made
simple, again and again until nothing helps any more. Each candidate is a valid experiment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from adpkv.config import Experiment
from adpkv.config.checks.relations import broken
from adpkv.config.fault_kinds import KINDS
from adpkv.config.faults import FaultConfig
from adpkv.config.workload import ScriptConfig, ScriptedConfig
from adpkv.exploration.cases import Case
from adpkv.exploration.schedules import CALM, Choices, Recording
from adpkv.exploration.trial import attempt, signature

__all__ = ["Shrunk", "shrink", "written"]

T = TypeVar("T")

MOST_TRIES: Final = 1500
MOST_S: Final = 20.0
NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The least case found."""

    case: Case
    tries: int
    whole: bool
    """Nothing more can be left out; else the tries or the time were spent."""


def written(case: Case) -> Case:
    """The same case with its schedule written down choice by choice."""
    schedule = case.choose()
    if schedule is None:
        return case.under(CALM)
    recording = Recording(schedule)
    attempt(case, schedule=recording)
    return case.under(recording.choices)


def shrink(case: Case, known_by: str, most_s: float = MOST_S) -> Shrunk:
    """The least of a case whose find has this signature. Its schedule is written down already."""
    search = _Search(case, known_by, time.monotonic() + most_s)
    try:
        # Every step, not only those up to the first that helps.
        while sum(step(search) for step in _STEPS):
            pass
    except _SpentError:
        return Shrunk(search.best, search.tries, whole=False)
    return Shrunk(search.best, search.tries, whole=True)


class _SpentError(Exception):
    """The tries or the time are spent."""


class _Search:
    """The least case so far."""

    def __init__(self, case: Case, known_by: str, until_s: float) -> None:
        self.best, self._known_by, self._until_s = case, known_by, until_s
        self.tries = 0

    @property
    def experiment(self) -> Experiment:
        """That of the least case."""
        return self.best.experiment

    @property
    def requests(self) -> tuple[ScriptedConfig, ...]:
        """Its requests, in order of arrival."""
        workload = self.experiment.workload
        assert isinstance(workload, ScriptConfig)
        return workload.requests

    def takes(self, candidate: Case) -> bool:
        """Whether the same is wrong with this one: then it is the least."""
        if candidate == self.best or broken(candidate.experiment):
            return False
        if self.tries >= MOST_TRIES or time.monotonic() > self._until_s:
            raise _SpentError
        self.tries += 1
        if signature(attempt(candidate).found) != self._known_by:
            return False
        self.best = candidate
        return True

    def with_changes(self, **changes: Any) -> Case:
        """The least case with other sections."""
        found = self.experiment.model_copy(update=changes)
        return replace(self.best, experiment=found)

    def with_requests(self, requests: Sequence[ScriptedConfig], **changes: Any) -> Case:
        """The least case with another workload."""
        workload = ScriptConfig.model_construct(kind="script", requests=tuple(requests))
        return self.with_changes(workload=workload, **changes)


# -- schedule ------------------------------------------------------------------------------------


def _fewer_choices(search: _Search) -> bool:
    schedule = _choices(search)
    if not len(schedule):
        return False
    if search.takes(search.best.under(CALM)):
        return True
    for name in ("order", "haste", "speed"):
        if getattr(schedule, name):
            left = [one for one in _choices(search).flat() if one[0] != name]
            search.takes(search.best.under(Choices.of(left)))

    def offered(left: list[Any]) -> bool:
        return search.takes(search.best.under(Choices.of(left)))

    _minimised(_choices(search).flat(), offered)
    return len(schedule) != len(_choices(search))


def _choices(search: _Search) -> Choices:
    schedule = search.best.schedule
    assert isinstance(schedule, Choices)
    return schedule


def _minimised(items: list[T], takes: Callable[[list[T]], bool]) -> list[T]:
    """Delta debugging: leaves out ever smaller parts while that is taken."""
    size = max(len(items) // 2, 1)
    while items:
        at = 0
        while at < len(items):
            left = items[:at] + items[at + size :]
            if takes(left):
                items = left
            else:
                at += size
        if size == 1:
            return items
        size //= 2
    return items


# -- faults and requests -------------------------------------------------------------------------


def _fewer_faults(search: _Search) -> bool:
    before = search.experiment.faults
    _minimised(list(before), lambda left: search.takes(search.with_changes(faults=tuple(left))))
    return len(search.experiment.faults) < len(before)


def _fewer_requests(search: _Search) -> bool:
    before = len(search.requests)

    def offered(left: list[int]) -> bool:
        if not left:
            return False
        place = {number: new for new, number in enumerate(left)}
        faults = [_renumbered(fault, "requests", place) for fault in whole.faults]
        if None in faults:
            return False
        return search.takes(search.with_requests([asked[i] for i in left], faults=tuple(faults)))

    whole, asked = search.experiment, search.requests
    _minimised(list(range(before)), offered)
    return len(search.requests) < before


def _merged_requests(search: _Search) -> bool:
    """One request less, another one longer: what many short ones do together, a long one may do."""
    progress = False
    number = 0
    while number < len(search.requests):
        gone = search.requests[number]
        others = [other for other in range(len(search.requests)) if other != number]
        progress |= any(_merged(search, number, other, gone) for other in others)
        number += 1
    return progress


def _merged(search: _Search, number: int, other: int, gone: ScriptedConfig) -> bool:
    if number >= len(search.requests) or search.requests[number] is not gone or gone.invalid:
        return False
    left = [i for i in range(len(search.requests)) if i != number]
    place = {old: new for new, old in enumerate(left)}
    faults = [_renumbered(fault, "requests", place) for fault in search.experiment.faults]
    requests = [search.requests[i] for i in left]
    kept = requests[place[other]]
    if None in faults or kept.invalid:
        return False
    longer = {"prompt_tokens": kept.prompt_tokens + gone.prompt_tokens}
    both = longer | {"output_tokens": kept.output_tokens + gone.output_tokens}
    for change in (longer, both):
        requests[place[other]] = kept.model_copy(update=change)
        if search.takes(search.with_requests(requests, faults=tuple(faults))):
            return True
    return False


def _renumbered(fault: FaultConfig, key: str, place: dict[int, int]) -> FaultConfig | None:
    """The fault with the new numbers of what it names; None if none of that is left."""
    named: tuple[int, ...] | None = getattr(fault, key)
    if named is None:
        return fault
    left = tuple(place[number] for number in named if number in place)
    return fault.model_copy(update={key: left}) if left else None


# -- ranks and blocks ----------------------------------------------------------------------------


def _fewer_ranks(search: _Search) -> bool:
    return sum(_one_rank_less(search, kind) for kind in ("context", "generation")) > 0


def _one_rank_less(search: _Search, kind: str) -> bool:
    topology = search.experiment.topology
    group = getattr(topology, kind)
    if group.ranks == 1 or topology.servers or topology.replicated:
        return False
    fewer = group.model_copy(update={"ranks": group.ranks - 1})
    smaller = topology.model_copy(update={kind: fewer})
    context = topology.context
    for gone in range(group.ranks):
        found = gone if kind == "context" else context.ranks * context.instances + gone
        left = [rank for rank in range(topology.ranks) if rank != found]
        place = {rank: new for new, rank in enumerate(left)}
        faults = []
        for fault in search.experiment.faults:
            own = _renumbered(fault, "ranks", place)
            both = None if own is None else _renumbered(own, "peers", place)
            faults += [] if both is None else [both]
        requests = [_pinned(one, smaller.least_ranks) for one in search.requests]
        if search.takes(search.with_requests(requests, topology=smaller, faults=tuple(faults))):
            return True
    return False


def _pinned(one: ScriptedConfig, ranks: int) -> ScriptedConfig:
    if one.wanted is None or one.wanted < ranks:
        return one
    return one.model_copy(update={"wanted": ranks - 1})


def _fewer_blocks(search: _Search) -> bool:
    cache = search.experiment.kv_cache
    for blocks in (2, cache.blocks // 2, cache.blocks - 1):
        smaller = cache.model_copy(update={"blocks": blocks})
        if 2 <= blocks < cache.blocks and search.takes(search.with_changes(kv_cache=smaller)):
            return True
    return False


# -- what is left is made simple -----------------------------------------------------------------


def _simpler_faults(search: _Search) -> bool:
    progress = False
    for number in range(len(search.experiment.faults)):
        for change in _simpler(search.experiment.faults[number]):
            faults = list(search.experiment.faults)
            faults[number] = faults[number].model_copy(update=change)
            progress |= search.takes(search.with_changes(faults=tuple(faults)))
    return progress


def _simpler(fault: FaultConfig) -> Iterator[dict[str, Any]]:
    if fault.probability < 1:
        yield {"probability": 1.0}
    if fault.count is not None:
        yield {"count": None}
    if not KINDS[fault.kind].at_an_instant and fault.before_ns is not None:
        yield {"before_ns": None}
    if fault.after_ns:
        yield {"after_ns": 0}
    if fault.before_ns is not None and KINDS[fault.kind].at_an_instant:
        yield {"before_ns": None}
    for key in ("requests", "ranks", "phase"):
        if getattr(fault, key) is not None:
            yield {key: None}
    for key in ("duration_ns", "after_ns"):
        rounded = _round(getattr(fault, key) or 0)
        if rounded != (getattr(fault, key) or 0):
            yield {key: rounded}


def _simpler_requests(search: _Search) -> bool:
    progress = False
    for number in range(len(search.requests)):
        for change in _plainer(search.requests[number]):
            requests = list(search.requests)
            requests[number] = requests[number].model_copy(update=change)
            if number and requests[number].at_ns < requests[number - 1].at_ns:
                continue  # they are numbered by arrival
            progress |= search.takes(search.with_requests(requests))
    return progress


def _plainer(one: ScriptedConfig) -> Iterator[dict[str, Any]]:
    if one.cancel_ns is not None:
        yield {"cancel_ns": None}
    if one.wanted is not None:
        yield {"wanted": None}
    if one.prefix:
        yield from ({"prefix": None}, {"prefix": 0})
    elif one.prefix is not None:
        yield {"prefix": None}
    if one.at_ns:
        yield {"at_ns": 0}
    if not one.invalid:
        for key in ("prompt_tokens", "output_tokens"):
            for fewer in (1, getattr(one, key) // 2):
                if 1 <= fewer < getattr(one, key):
                    yield {key: fewer}
    for key in ("at_ns", "cancel_ns"):
        given = getattr(one, key) or 0
        if _round(given) != given:
            yield {key: _round(given)}


def _round(ns: int) -> int:
    """Down to ten milliseconds, or to one."""
    for unit in (10 * NS_PER_MS, NS_PER_MS):
        if ns > unit:
            return ns // unit * unit
    return ns


_STEPS: Final = (
    _fewer_choices,
    _fewer_faults,
    _fewer_requests,
    _merged_requests,
    _fewer_ranks,
    _fewer_blocks,
    _simpler_faults,
    _simpler_requests,
)
