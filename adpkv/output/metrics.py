"""A run's figures in Prometheus' text format, made when they are asked for.

Nothing is counted twice: what the run knows anyway is put into metric families at each scrape, so
the executor pays nothing for it. Names and labels are in docs/launching.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from adpkv.core.values import Outcome
from adpkv.errors import MissingPieceError
from adpkv.executor.messages import Pulse

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

__all__ = ["GET_PROMETHEUS", "Figures", "Metrics", "ServerFigures"]

GET_PROMETHEUS: Final = "pip install 'adpkv[http]' brings prometheus-client"
NS_PER_S: Final = 1e9

GAUGES: Final = {
    "requests_running": ("running", "Requests that are being computed."),
    "requests_waiting": ("waiting", "Requests that wait for a rank, blocks or a turn."),
    "transfers_in_flight": ("in_transfer", "KV transfers on their way."),
    "transfers_quarantined": ("quarantined", "KV transfers in doubt, whose blocks are kept."),
    "ranks_avoided": ("avoided", "Ranks that get no requests after failures of their own."),
    "instance_healthy": ("healthy", "1 while the transceivers of all its ranks are healthy."),
}
COUNTERS: Final = {
    "tokens": ("tokens", "Tokens that were answered."),
    "iterations": ("iterations", "Iterations of the executor loop."),
    "collectives": ("collectives", "Collectives that the leader joined."),
    "transfers_cached": ("transfers_cached", "KV transfers without a byte: it was there already."),
    "transfer_bytes_cached": ("bytes_cached", "KV bytes not moved: they were there already."),
}
"""Metric, the field of a pulse that it shows, and what it is; each by instance."""


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """One instance: its name, the last pulse, and how long ago anything was heard."""

    name: str
    pulse: Pulse
    silent_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """All that is shown."""

    outcomes: Mapping[Outcome, int]
    submitted: int
    servers: Sequence[ServerFigures]
    unready: Mapping[str, int]
    """How many findings there are of each reason; ready if there is none."""
    lost: int
    """Ranks that have failed."""


class Metrics:
    """Makes pages of figures; the constructor says if that cannot be done.

    Raises:
        MissingPieceError: prometheus-client is not installed.
    """

    def __init__(self) -> None:
        try:
            import prometheus_client.exposition as exposition
        except ImportError as error:
            needs = "observe.http needs prometheus-client"
            raise MissingPieceError(f"{needs}: {GET_PROMETHEUS}") from error
        self._choose_encoder = exposition.choose_encoder

    def page(self, figures: Figures, accepts: str) -> tuple[bytes, str]:
        """The page in the format that the client prefers, and that format's name."""
        encode, content_type = self._choose_encoder(accepts)
        return encode(_Page(figures)), content_type


class _Page:
    """What an encoder asks for families, as a registry would be."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import CounterMetricFamily as Counter
        from prometheus_client.metrics_core import GaugeMetricFamily as Gauge

        figures = self._figures
        ended = Counter("adpkv_requests", "Requests by how they ended.", labels=["outcome"])
        for outcome, count in figures.outcomes.items():
            if outcome is not Outcome.PREFILLED:
                ended.add_metric([outcome.value], count)
        yield ended
        yield Counter("adpkv_requests_submitted", "Requests that arrived.", figures.submitted)
        for kind, table in ((Gauge, GAUGES), (Counter, COUNTERS)):
            for name, (field, about) in table.items():
                family = kind(f"adpkv_{name}", about, labels=["instance"])
                for server in figures.servers:
                    family.add_metric([server.name], float(getattr(server.pulse, field)))
                yield family
        spent = Counter("adpkv_collectives_seconds", "Spent in them.", labels=["instance"])
        silent = Gauge(
            "adpkv_instance_since_progress_seconds",
            "Since the leader was last heard of, which it is as long as its loop turns.",
            labels=["instance"],
        )
        for server in figures.servers:
            spent.add_metric([server.name], server.pulse.collectives_ns / NS_PER_S)
            silent.add_metric([server.name], server.silent_s)
        yield spent
        yield silent
        yield Gauge("adpkv_ranks_lost", "Ranks that have failed.", figures.lost)
        reasons = Gauge("adpkv_unready_reasons", "Why it is not ready.", labels=["reason"])
        for reason, count in figures.unready.items():
            reasons.add_metric([reason], count)
        yield reasons
        yield Gauge(
            "adpkv_ready", "1 if /health/ready says so.", float(not any(figures.unready.values()))
        )
