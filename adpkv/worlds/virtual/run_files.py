"""The files that a simulation writes into its folder as it goes."""

from __future__ import annotations

from adpkv.config import Experiment
from adpkv.output import EventLog, EventSink, NullEventLog, RequestLog, RunFolder
from adpkv.output.losses import Losses
from adpkv.output.samples import SampleLog
from adpkv.timeline.recording import open_timeline

__all__ = ["SimulationFiles"]


class SimulationFiles:
    """Opens those that the experiment wants; `losses` are what could not be written."""

    def __init__(self, folder: RunFolder, experiment: Experiment) -> None:
        self.losses = losses = Losses()
        self.events: EventSink = NullEventLog()
        self.samples = None
        if experiment.observe.events:
            self.events = EventLog(folder.events, losses)
            self.samples = SampleLog(folder.samples, losses)
        self.requests = RequestLog(folder.requests, experiment.slo, losses)
        self.timeline = open_timeline(folder, experiment, losses)

    def close(self) -> None:
        """Write what is pending, the last time."""
        self.events.close()
        self.requests.close()
        if self.samples is not None:
            self.samples.close()
        if self.timeline is not None:
            self.timeline.close()
