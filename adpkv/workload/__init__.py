"""Workloads: which requests arrive when, drawn at random, from a trace or from a script."""

from adpkv.workload.building import build
from adpkv.workload.port import Arrival, Workload

__all__ = ["Arrival", "Workload", "build"]
