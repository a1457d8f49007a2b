"""What a run leaves behind and shows: its folder, events, requests, summary and progress."""

from adpkv.observe.events import EventLog, EventSink, NullEventLog, RankRecorder, merge_parts
from adpkv.observe.folder import RunFolder
from adpkv.observe.requests import RequestLog, Tally
from adpkv.observe.summary import BrokenOff, build_summary

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
