"""Advice on settings whose effect surprises: sentences about an experiment, before and after a run.

Pure. `beforehand` is what is known before a run, for `adpkv validate`; `afterwards` is what applies
to a run that is over, for its closing lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adpkv.config.units import duration_text

if TYPE_CHECKING:
    from adpkv.config import Experiment

__all__ = ["afterwards", "beforehand"]


def beforehand(experiment: Experiment) -> list[str]:
    """What will happen in any run of this experiment."""
    limits = experiment.transceiver
    unhealthy_ns = limits.transfer_timeout_ns + limits.progress_deadline_ns
    over_ns = unhealthy_ns + limits.shutdown_grace_ns
    return [
        f"faults.{number}: a stall without `duration` lasts for ever, so its blocks stay in doubt"
        f" however rare it is and whatever transceiver.transfer_timeout is: about"
        f" {duration_text(unhealthy_ns)} after its transfer began the rank is unhealthy, after"
        f" {duration_text(over_ns)} the run ends with code 75, unless it is over by then; try"
        f" --set faults.{number}.duration={duration_text(limits.transfer_timeout_ns)}"
        for number in _endless(experiment)
    ]


def afterwards(experiment: Experiment, summary: Mapping[str, Any]) -> list[str]:
    """What explains how a run of this experiment ended. Nothing after a run that was healthy and
    has no transfer in doubt at its end."""
    unhealthy = summary["health"]["reasons"] or summary["transfers"]["quarantined_now"]
    if not unhealthy or not summary["faults"].get("stall"):
        return []
    return beforehand(experiment)


def _endless(experiment: Experiment) -> list[int]:
    """The numbers of the faults whose effect, once they fired, never ends."""
    return [
        number
        for number, fault in enumerate(experiment.faults)
        if fault.kind == "stall" and fault.duration_ns is None and fault.probability
    ]
