"""What clients ask for: arrivals over time, from a process or from a trace."""

from adpkv.workload.building import build
from adpkv.workload.port import Arrival, Workload

__all__ = ["Arrival", "Workload", "build"]
