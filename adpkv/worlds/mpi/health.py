"""What rank 0 tells an orchestrator over HTTP: is the job ready, is it alive, and its figures.

Rank 0 binds before anything is written, so that an address in use is one message before the run.
What it answers is judged from progress (`diagnosis.readiness`) at the moment in which it is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from time import perf_counter_ns
from typing import Final

from adpkv.config import Experiment
from adpkv.diagnosis.board import Board
from adpkv.diagnosis.readiness import Finding, Reason, Seen, silences_ns, unalive, unready
from adpkv.executor.messages import Pulse
from adpkv.observe.http import Answer, HttpServer, json_answer
from adpkv.observe.metrics import Figures, Metrics, ServerFigures
from adpkv.observe.requests import Tally
from adpkv.worlds.mpi.desk import Desk

__all__ = ["Health"]

MOST_SHOWN: Final = 64
"""Findings in one answer; the others are counted."""

NS_PER_S: Final = 1e9


class Health:
    """Answers from `watch` to `close`.

    Raises:
        UsageError: the address cannot be had, or prometheus-client is missing.
    """

    def __init__(self, experiment: Experiment, address: str) -> None:
        self._metrics = Metrics()
        self._server = HttpServer(address)
        self._instances = experiment.topology.build().instances
        self._ready_ns = experiment.ready_ns
        self._hang_ns = experiment.hang_ns
        self._began_ns = 0
        self._over = False

    def watch(self, board: Board, desk: Desk, tally: Tally) -> None:
        """Begin to answer for this job."""
        self._board, self._desk, self._tally = board, desk, tally
        self._began_ns = perf_counter_ns()
        routes = {"/health/live": self._live, "/health/ready": self._ready, "/metrics": self._page}
        self._server.start(routes)

    def over(self) -> None:
        """Rank 0's loop has ended as it should; what is left is bounded by itself."""
        self._over = True

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.close()

    def _seen(self) -> Seen:
        # Of the dead nothing is expected. The clock last: nothing that is seen is later than now.
        dead, words = self._desk.coordinator.dead, dict(self._desk.words)
        standings = [s for s in self._board.standings() if s.place.rank not in dead]
        ending = self._desk.coordinator.ending or ("its ranks have left" if self._over else "")
        return Seen(
            began_ns=self._began_ns,
            words=words,
            standings=standings,
            ending=ending,
            over=self._over,
            instances=[i for i in self._instances if not dead.issuperset(i.members)],
            now_ns=perf_counter_ns(),
        )

    def _live(self, accepts: str) -> Answer:
        return _told("live", unalive(self._seen(), self._hang_ns))

    def _ready(self, accepts: str) -> Answer:
        return _told("ready", unready(self._seen(), self._ready_ns))

    def _page(self, accepts: str) -> Answer:
        seen, nothing = self._seen(), Pulse()
        silent_ns = silences_ns(seen)
        pulses = {index: word.pulse for index, word in seen.words.items()}
        figures = Figures(
            outcomes=self._tally.outcomes,
            submitted=self._desk.coordinator.submitted,
            servers=[
                ServerFigures(
                    instance.name,
                    pulses.get(instance.index, nothing),
                    silent_ns[instance.index] / NS_PER_S,
                )
                for instance in seen.instances
            ],
            unready=_counted(unready(seen, self._ready_ns)),
            lost=len(self._desk.coordinator.dead),
        )
        body, content_type = self._metrics.page(figures, accepts)
        return Answer(HTTPStatus.OK, content_type, body)


def _told(name: str, found: Sequence[Finding]) -> Answer:
    status = HTTPStatus.SERVICE_UNAVAILABLE if found else HTTPStatus.OK
    reasons = [finding._asdict() for finding in found[:MOST_SHOWN]]
    omitted = len(found) - len(reasons)
    return json_answer(status, {name: not found, "reasons": reasons, "omitted": omitted})


def _counted(found: Sequence[Finding]) -> dict[str, int]:
    """How often each reason was found, with the known ones at zero: series must not come and go."""
    counts = Counter(str(finding.reason) for finding in found)
    return {str(reason): 0 for reason in Reason} | counts
