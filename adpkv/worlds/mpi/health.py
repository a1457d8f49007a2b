"""What rank 0 answers an orchestrator over HTTP: whether the job is ready and alive, and its
metrics.

Rank 0 binds before anything is written, so an address in use is reported before the run begins.
Each answer is derived from progress (`diagnosis.readiness`) when the request comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from time import perf_counter_ns
from typing import Final

from adpkv.config import Experiment
from adpkv.diagnosis.readiness import Finding, JobObservation, Reason, silences_ns, unalive, unready
from adpkv.executor.messages import Pulse
from adpkv.flight_recorder.board import Board
from adpkv.output.http import Answer, HttpServer, json_answer
from adpkv.output.metrics import Figures, Metrics, ServerFigures
from adpkv.output.requests import Tally
from adpkv.worlds.mpi.coordinator import CoordinatorHost

__all__ = ["Health"]

MOST_SHOWN: Final = 64
"""Findings in one answer; further ones are only counted."""

NS_PER_S: Final = 1e9


class Health:
    """Answers from `watch` to `close`.

    Raises:
        UsageError: the address cannot be bound, or prometheus-client is missing.
    """

    def __init__(self, experiment: Experiment, address: str) -> None:
        self._metrics = Metrics()
        self._server = HttpServer(address)
        self._instances = experiment.topology.build().instances
        self._ready_ns = experiment.ready_ns
        self._hang_ns = experiment.hang_ns
        self._began_ns = 0
        self._over = False

    def watch(self, board: Board, coordinator_host: CoordinatorHost, tally: Tally) -> None:
        """Start to answer for this job."""
        self._board, self._coordinator_host, self._tally = board, coordinator_host, tally
        self._began_ns = perf_counter_ns()
        routes = {"/health/live": self._live, "/health/ready": self._ready, "/metrics": self._page}
        self._server.start(routes)

    def over(self) -> None:
        """Rank 0's loop has ended normally; the clean-up that is left has its own time limits."""
        self._over = True

    def close(self) -> None:
        """Stop answering."""
        self._server.close()

    def _observe(self) -> JobObservation:
        # Failed ranks are left out. The clock is read last: nothing observed may be later than now.
        failed, last_pulses = (
            self._coordinator_host.coordinator.failed,
            dict(self._coordinator_host.last_pulses),
        )
        entries = [s for s in self._board.entries() if s.place.rank not in failed]
        ending = self._coordinator_host.coordinator.ending or (
            "its ranks have left" if self._over else ""
        )
        return JobObservation(
            began_ns=self._began_ns,
            last_pulses=last_pulses,
            entries=entries,
            ending=ending,
            over=self._over,
            forgiven=self._coordinator_host.coordinator.outages.forgiven,
            instances=[i for i in self._instances if not failed.issuperset(i.members)],
            now_ns=perf_counter_ns(),
        )

    def _live(self, accepts: str) -> Answer:
        return _answer("live", unalive(self._observe(), self._hang_ns))

    def _ready(self, accepts: str) -> Answer:
        seen = self._observe()
        # The job serves without them, so that is no reason to be unready.
        avoided = {
            instance.name: last.pulse.avoided
            for instance in seen.instances
            if (last := seen.last_pulses.get(instance.index)) and last.pulse.avoided
        }
        outages = self._coordinator_host.coordinator.outages
        out = [instance.name for instance in seen.instances if instance.index in outages.out]
        return _answer("ready", unready(seen, self._ready_ns), avoided=avoided, out=out)

    def _page(self, accepts: str) -> Answer:
        seen, nothing = self._observe(), Pulse()
        silent_ns = silences_ns(seen)
        pulses = {index: last.pulse for index, last in seen.last_pulses.items()}
        figures = Figures(
            outcomes=self._tally.outcomes,
            submitted=self._coordinator_host.coordinator.submitted,
            servers=[
                ServerFigures(
                    instance.name,
                    pulses.get(instance.index, nothing),
                    silent_ns[instance.index] / NS_PER_S,
                )
                for instance in seen.instances
            ],
            unready=_counted(unready(seen, self._ready_ns)),
            lost=len(self._coordinator_host.coordinator.failed),
        )
        body, content_type = self._metrics.page(figures, accepts)
        return Answer(HTTPStatus.OK, content_type, body)


def _answer(name: str, found: Sequence[Finding], **more: object) -> Answer:
    status = HTTPStatus.SERVICE_UNAVAILABLE if found else HTTPStatus.OK
    reasons = [finding._asdict() for finding in found[:MOST_SHOWN]]
    omitted = len(found) - len(reasons)
    return json_answer(status, {name: not found, "reasons": reasons, "omitted": omitted, **more})


def _counted(found: Sequence[Finding]) -> dict[str, int]:
    """How often each reason was found. All known reasons are included, with zero: a Prometheus
    series must not appear and vanish."""
    counts = Counter(str(finding.reason) for finding in found)
    return {str(reason): 0 for reason in Reason} | counts
