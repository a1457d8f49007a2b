"""What a run leaves behind and shows: its folder, events, requests, summary and progress."""

from adpkv.output.events import EventLog, EventSink, NullEventLog, RankRecorder, merge_parts
from adpkv.output.folder import RunFolder
from adpkv.output.requests import RequestLog, Tally
from adpkv.output.summary import BrokenOff, build_summary

__all__ = [
    "BrokenOff",
    "EventLog",
    "EventSink",
    "NullEventLog",
    "RankRecorder",
    "RequestLog",
    "RunFolder",
    "Tally",
    "build_summary",
    "merge_parts",
]
