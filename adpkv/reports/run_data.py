"""What a report needs of a run, read once and kept as columns of numbers.

Files are streamed, since a long run has millions of events, of which a report needs few kinds. A
line that cannot be read is left out and counted; what is not there is noted, not an error.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from adpkv import __version__
from adpkv.config import Experiment, load
from adpkv.core.record import COLUMN_FIELDS, RequestRecord
from adpkv.core.sample import RankSample
from adpkv.core.topology import Topology
from adpkv.core.values import Outcome
from adpkv.counting import counted
from adpkv.errors import UsageError
from adpkv.output.folder import RunFolder
from adpkv.output.requests import Tally
from adpkv.output.samples import read_samples
from adpkv.output.story_files import RunFiles
from adpkv.results import Result
from adpkv.results.loading import summary_so_far, written_summary

__all__ = ["Mark", "RunData", "of_result", "read_run"]

Numbers = npt.NDArray[np.int64]
RawEvent = tuple[int, int, str, int, Mapping[str, Any]]

NUMBERS: Final = (
    "request_id",
    "arrival_ns",
    "first_token_ns",
    "ended_ns",
    "prompt_tokens",
    "tokens",
    "context_rank",
    "generation_rank",
    *COLUMN_FIELDS,
)
"""The fields of a request's record that are kept as numbers."""

OUTCOMES: Final = tuple(Outcome)
SAMPLED: Final = tuple(name for name in RankSample.__struct_fields__)
KINDS: Final = frozenset(
    {
        "fault", "violation", "rank_lost", "recovered", "stopping", "health", "quarantined",
        "released", "arrived",
    }
)  # fmt: skip
"""The events that are read."""

_KIND: Final = re.compile(rb'"kind":"(\w+)"')
NS_PER_S: Final = 1e9


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at one moment, to be marked in plots over time."""

    at_ns: int
    rank: int
    kind: str
    text: str
    is_grave: bool
    """A failed rank, a violation, a stop before the work was done."""


@dataclass(slots=True)
class RunData:
    """One run."""

    name: str
    experiment: Experiment
    summary: Mapping[str, Any]
    folder: Path | None = None
    requests: dict[str, Numbers] = field(default_factory=dict)
    outcomes: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))
    """Indexes into `OUTCOMES`."""
    causes: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))
    """Indexes into `cause_texts`: why each request ended as it did."""
    cause_texts: list[str] = field(default_factory=list)
    open_ns: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))
    """When the requests arrived that have no answer."""
    samples: dict[str, Numbers] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    doubts: list[tuple[int, int, int]] = field(default_factory=list)
    """(at_ns, rank, +1 or -1) as transfers come into quarantine and leave it."""
    health: list[tuple[int, int, bool, str]] = field(default_factory=list)
    """(at_ns, rank, healthy, reasons) as the health of a rank changes."""
    has_events: bool = False
    notes: list[str] = field(default_factory=list)
    """What is missing or damaged, a sentence each."""

    @property
    def topology(self) -> Topology:
        """Which ranks there are."""
        return self.experiment.topology.build()

    @property
    def end_ns(self) -> int:
        """The last time that is known of it; at least 1."""
        last = [1, *(mark.at_ns for mark in self.marks)]
        for numbers in (self.requests.get("ended_ns"), self.samples.get("at_ns"), self.open_ns):
            if numbers is not None and len(numbers):
                last.append(int(numbers.max()))
        return max(last)

    def ended_as(self, *outcomes: Outcome) -> npt.NDArray[np.bool_]:
        """Which of the requests ended so."""
        wanted = [OUTCOMES.index(outcome) for outcome in outcomes]
        return np.isin(self.outcomes, wanted)


def read_run(path: Path) -> RunData:
    """A run from its folder, also one that goes on or was killed.

    Raises:
        UsageError: it is no run's folder, or another version's that cannot be read.
    """
    folder = RunFolder(path)
    if not os.path.isdir(path):
        raise UsageError(f"{path}: there is no such folder")
    if not folder.config.is_file():
        raise UsageError(f"{path}: there is no config.yaml, so this is no run's; and no sweep's")
    experiment = load(folder.config, installed=False)
    summary = written_summary(folder)
    files = RunFiles(folder, experiment.topology.build())
    tally, last_ns = Tally(experiment.slo), 0
    found = RunData(experiment.name, experiment, {}, path)

    def noted() -> Iterator[RequestRecord]:
        nonlocal last_ns
        for record in files.all_records():
            tally.add(record)
            last_ns = max(last_ns, record.ended_ns)
            yield record

    _take_requests(found, noted())
    events = _Events(folder)
    _take_events(found, events)
    _take_samples(found, read_samples(folder))
    if summary is None:
        summary = summary_so_far(experiment, folder, tally, max(last_ns, events.last_ns))
        found.notes.append(
            "The run was killed, or is still at work: there is no summary.json. Figures are of "
            "what it had written; of transfers, blocks and health at the end nothing is known."
        )
    found.summary = msgspec.to_builtins(summary)
    found.notes += files.damage.told()
    if events.damaged:
        found.notes.append(
            f"Damaged and left out: {counted(events.damaged, 'line')} of events.jsonl."
        )
    _remark(found)
    return found


def of_result(result: Result) -> RunData:
    """A run that is there as a result."""
    found = RunData(result.experiment.name, result.experiment, result.to_dict(), result.folder)
    _take_requests(found, result.requests)
    _take_events(
        found,
        ((e.at_ns, e.rank, e.kind, e.request, e.detail) for e in result.events.of_kind(*KINDS)),
    )
    _take_samples(found, result.samples)
    found.notes += result.damage
    _remark(found)
    return found


def _remark(found: RunData) -> None:
    """Note what is missing."""
    made_by = found.summary.get("adpkv")
    if made_by != __version__:
        found.notes.append(
            f"adpkv {made_by} has made this run, and this is {__version__}: a figure may mean "
            "something else."
        )
    broken_off = found.summary.get("broken_off")
    if broken_off and "summary.json" not in broken_off["why"]:
        found.notes.append(f"The run was broken off: {broken_off['why']}")
    if not found.has_events:
        found.notes.append(
            "The run was made without events (observe.events): faults, health, blocks over time "
            "and ranks are not known."
        )
    elif not found.samples:
        found.notes.append(
            "There is no ranks.jsonl: blocks over time and what each rank computed are not known."
        )
    if len(found.open_ns):
        found.notes.append(
            f"Without an answer: {counted(len(found.open_ns), 'request')} that arrived."
        )


def _take_requests(found: RunData, records: Iterable[RequestRecord]) -> None:
    columns = {name: array("q") for name in NUMBERS}
    adds = [(name, columns[name].append) for name in NUMBERS]
    outcomes, causes, texts = array("q"), array("q"), dict[str, int]()
    for record in records:
        for name, add in adds:
            add(getattr(record, name))
        outcomes.append(OUTCOMES.index(record.outcome))
        causes.append(texts.setdefault(record.detail, len(texts)))
    found.requests = {name: np.array(column, np.int64) for name, column in columns.items()}
    found.outcomes, found.causes = np.array(outcomes, np.int64), np.array(causes, np.int64)
    found.cause_texts = list(texts)


def _take_samples(found: RunData, samples: Iterable[RankSample]) -> None:
    ranks = found.topology.ranks
    columns = {name: array("q") for name in SAMPLED}
    adds = [(name, columns[name].append) for name in SAMPLED]
    for one in samples:
        if 0 <= one.rank < ranks and one.at_ns >= 0:
            for name, add in adds:
                add(int(getattr(one, name)))
    if columns["at_ns"]:
        found.samples = {name: np.array(column, np.int64) for name, column in columns.items()}


def _take_events(found: RunData, events: Iterable[RawEvent]) -> None:
    answered = set(found.requests["request_id"].tolist())
    open_at: dict[int, int] = {}
    doubtful: set[tuple[int, int]] = set()
    for at_ns, rank, kind, request, detail in events:
        found.has_events = True
        if kind == "arrived":
            if request not in answered:
                open_at[request] = at_ns
        elif kind == "quarantined":
            if (rank, request) not in doubtful:  # it is told again as its peer is asked again
                doubtful.add((rank, request))
                found.doubts.append((at_ns, rank, 1))
        elif kind == "released":
            if (rank, request) in doubtful:
                doubtful.remove((rank, request))
                found.doubts.append((at_ns, rank, -1))
        elif kind == "health":
            reasons = ", ".join(map(str, detail.get("reasons") or ()))
            found.health.append((at_ns, rank, bool(detail.get("healthy")), reasons))
        else:
            mark = _mark(at_ns, rank, kind, detail)
            if mark is not None:
                found.marks.append(mark)
    found.open_ns = np.array(sorted(open_at.values()), np.int64)
    _drop_repeated(found)


def _mark(at_ns: int, rank: int, kind: str, detail: Mapping[str, Any]) -> Mark | None:
    if kind == "fault":
        name = str(detail.get("fault", "fault")).replace("_", " ")
        return Mark(at_ns, rank, f"fault: {name}", "", is_grave=False)
    if kind == "violation":
        told = f"{detail.get('violation')}: {detail.get('detail')}"
        return Mark(at_ns, rank, "violation", told, is_grave=True)
    if kind == "rank_lost":
        return Mark(at_ns, rank, "rank failed", f"rank {detail.get('lost')}", is_grave=True)
    if kind == "recovered":
        return Mark(at_ns, rank, "goes on", "the group goes on", is_grave=False)
    if kind == "stopping" and detail.get("code"):
        return Mark(at_ns, rank, "stops", str(detail.get("detail")), is_grave=True)
    return None


def _drop_repeated(found: RunData) -> None:
    """Of what all ranks of a group notice the first is kept."""
    kept: dict[object, Mark] = {}
    for number, mark in enumerate(sorted(found.marks, key=lambda mark: (mark.at_ns, mark.rank))):
        same = mark.kind in ("rank failed", "stops", "goes on")
        kept.setdefault((mark.kind, mark.text) if same else number, mark)
    found.marks = list(kept.values())


class _Events:
    """The events of a folder that are of the wanted kinds, by file; damaged ones are counted."""

    def __init__(self, folder: RunFolder) -> None:
        whole = folder.events
        self._paths = [whole] if whole.exists() else folder.events_parts()
        self.damaged = 0
        self.last_ns = 0

    def __iter__(self) -> Iterator[RawEvent]:
        for path in self._paths:
            try:
                with path.open("rb") as file:
                    yield from self._of(file)
            except OSError:
                self.damaged += 1

    def _of(self, lines: Iterable[bytes]) -> Iterator[RawEvent]:
        decode = msgspec.json.Decoder(dict[str, Any]).decode
        wanted = frozenset(kind.encode() for kind in KINDS)
        for line in lines:
            kind = _KIND.search(line)
            if kind is None or not line.endswith(b"\n"):
                self.damaged += 1
                continue
            if kind[1] not in wanted:
                continue
            try:
                values = decode(line)
                at_ns, rank = int(values.pop("at_ns")), int(values.pop("rank"))
                told, request = str(values.pop("kind")), int(values.pop("request"))
            except (ValueError, TypeError, KeyError, RecursionError):
                self.damaged += 1
                continue
            if at_ns < 0 or rank < -1:
                self.damaged += 1
                continue
            self.last_ns = max(self.last_ns, at_ns)
            yield at_ns, rank, told, request, values
