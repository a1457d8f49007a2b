"""The result of a run, as one value. Printed or shown in a notebook, it is the closing tables."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any, Final

import msgspec

from adpkv.config import Experiment
from adpkv.core.sample import RankSample
from adpkv.core.values import Violation
from adpkv.diagnosis.evidence import Evidence
from adpkv.diagnosis.report import make_report
from adpkv.errors import RankLostError, StuckError
from adpkv.exit_codes import ExitCode
from adpkv.output.closing import closing_sentence, show_closing
from adpkv.output.losses import with_losses
from adpkv.results.records import Events, RawEvent, Requests, Samples
from adpkv.results.report import DeadlockReport, of_error
from adpkv.results.summary import Summary, typed

__all__ = ["Result", "of_simulation"]

NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Result:
    """`summary` is `summary.json`; `requests`, `events` and `samples` are the lines of its other
    files. `events` and `samples` are empty where the experiment says `observe: {events: false}`."""

    experiment: Experiment
    """As resolved, with every default."""
    summary: Summary
    requests: Requests
    events: Events
    samples: Samples
    """How each rank was over time."""
    report: DeadlockReport | None = None
    """Why the ranks could not go on together; None where they could."""
    folder: Path | None = None
    """Where the run's files are; None where it has none."""
    damage: tuple[str, ...] = ()
    """Lines of those files that could not be read."""
    _error: StuckError | None = field(default=None)

    @property
    def outcome(self) -> str:
        """In one word: `completed`, `deadlock`, `violation`, `rank_lost`, `unhealthy`, ..."""
        return self.summary.outcome

    @property
    def exit_code(self) -> ExitCode:
        """What the command line would have ended with."""
        return self.summary.exit_code

    @property
    def violations(self) -> tuple[Violation, ...]:
        """What the oracles found, by time, with the requests concerned where the run has events."""
        concerned = {
            (event.at_ns, event.rank, event.detail["violation"]): tuple(event.detail["requests"])
            for event in self.events.of_kind("violation")
        }
        found = []
        for one in self.summary.violations:
            at_ns = round(one.at_s * NS_PER_S)
            requests = concerned.get((at_ns, one.rank, one.kind), ())
            found.append(Violation(one.kind, one.rank, at_ns, one.detail, requests))
        return tuple(found)

    def raise_if_stuck(self) -> Result:
        """This result; an error instead where the ranks got stuck.

        Raises:
            StuckError: they did; its message is the report.
        """
        if self.report is not None:
            raise StuckError(str(self.report)) from self._error
        return self

    def without_folder(self) -> Result:
        """The same result for a folder that is about to be removed."""
        return replace(self, folder=None)

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain values, as `summary.json` has it."""
        found: dict[str, Any] = msgspec.to_builtins(self.summary)
        return found

    def __repr__(self) -> str:
        return f"<Result of {self.experiment.name}: {closing_sentence(self.to_dict())}>"

    def __str__(self) -> str:
        from adpkv.output.advice import afterwards
        from adpkv.terminal import PlainConsole

        text, values = StringIO(), self.to_dict()
        show_closing(PlainConsole(text), values, self.folder, afterwards(self.experiment, values))
        return text.getvalue().rstrip()

    def _repr_markdown_(self) -> str:
        from adpkv.results.show import markdown

        return markdown(self.to_dict())

    def _repr_html_(self) -> str:
        from adpkv.results.show import html

        return html(self.to_dict())


def of_simulation(
    experiment: Experiment,
    summary: dict[str, object],
    requests: list[Any],
    events: list[RawEvent],
    samples: list[RankSample],
    error: StuckError | RankLostError | None = None,
) -> Result:
    """The result of a simulation without a folder."""
    report = None
    if isinstance(error, StuckError):
        if isinstance(error.evidence, Evidence):
            error.report = make_report(error.evidence)
        report = of_error(error)
    return Result(
        experiment=experiment,
        summary=typed(with_losses(summary, ())),
        requests=Requests(requests),
        events=Events(events),
        samples=Samples(samples),
        report=report,
        _error=error if isinstance(error, StuckError) else None,
    )
