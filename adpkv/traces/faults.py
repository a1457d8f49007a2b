"""Faults that stand in a trace: of a request, in its line, or of an instant, in a line of its own.

Only Mooncake's lines can carry them, as ours. They become entries of an experiment's `faults`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from adpkv.errors import TraceError
from adpkv.traces import source
from adpkv.traces.json_rows import JsonPlace
from adpkv.traces.mooncake import NS_PER_MS, Line
from adpkv.traces.registry import notice
from adpkv.traces.row import LATEST_NS

__all__ = ["TraceFault", "faults_in"]

_DECODER: Final = msgspec.json.Decoder(Line)
_MARK: Final = b'"fault"'
_SESSION: Final = b'"session'


class TraceFault(NamedTuple):
    """One fault: where it stands, as it is told there, as an entry of `faults`; the number of its
    request, or None and its instant."""

    place: JsonPlace
    told: dict[str, Any]
    entry: dict[str, Any]
    number: int | None
    at_ns: int


def faults_in(
    path: Path, *, speed: float = 1.0, limit: int | None = None, follow: bool = True
) -> list[TraceFault]:
    """The faults of a trace, in the order of the file.

    Args:
        path: the trace.
        speed: times of the trace are divided by this.
        limit: faults of later requests are left out, and those that stand after them.
        follow: turns of sessions come after answers, so the numbers of requests are not known.

    Raises:
        TraceError: the file cannot be read, or a line with a fault cannot be used.
        MissingPieceError: it is compressed in a way that nothing here can read.
    """
    try:
        if not notice(path).knows_faults:
            return []
    except TraceError:
        # Who reads the requests will say it: an experiment may be loaded without its trace.
        return []
    if limit is None and not _has_any(path):
        return []
    found: list[TraceFault] = []
    number, has_sessions, of_request = 0, False, None
    for line_number, raw in source.lines(path):
        if limit is not None and number >= limit:
            break
        has_sessions = has_sessions or _SESSION in raw
        if _MARK not in raw:
            number += 1
            continue
        place = JsonPlace(path, line_number, raw)
        line = _decoded(place)
        is_request = line.input_length is not None or line.output_length is not None
        if line.fault is not None:
            found.append(_fault(place, line, number if is_request else None, speed))
            of_request = place if is_request else of_request
        number += is_request
    if of_request is not None and has_sessions and follow:
        raise of_request.error(
            "fault",
            "which number this request gets depends on the answers before it, as the trace has"
            " sessions: give the fault a line of its own with a timestamp, or set"
            " workload.sessions to recorded",
        )
    return found


def _has_any(path: Path) -> bool:
    """Whether any line may have a fault: most traces have none."""
    try:
        return source.has(path, _MARK)
    except TraceError:
        return True  # a look at each line will say where


def _decoded(place: JsonPlace) -> Line:
    try:
        return _DECODER.decode(place.raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise place.malformed(error) from error


def _fault(place: JsonPlace, line: Line, number: int | None, speed: float) -> TraceFault:
    at_ns = 0
    told: dict[str, Any] = {"requests": [number]}
    if number is None:
        if line.timestamp is None:
            raise place.error("", "a fault in a line of its own needs a timestamp")
        at_ns = round(min(line.timestamp * NS_PER_MS / speed, LATEST_NS))
        told = {"after": f"{at_ns}ns"}
    fault = line.fault or {}
    for key in told.keys() & fault.keys():
        raise place.error(key, f"{key} follows from the line that the fault stands in")
    return TraceFault(place, fault, fault | told, number, at_ns)
