"""Writes a trace as Mooncake's JSON lines, which every simulator and load generator reads.

Ids are made anew: the same id for the same beginning of a prompt. Turns keep what they follow in
our keys `session` and `think_ms`, cancels in `cancel_ms`; others ignore these.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from adpkv.errors import UsageError
from adpkv.traces.mooncake import NS_PER_MS, TRACE_BLOCK_TOKENS
from adpkv.workload.cancels import NO_CANCEL_NS
from adpkv.workload.traces import FIRST, Trace

__all__ = ["mooncake_lines"]

_WHOLE: Final = TRACE_BLOCK_TOKENS


def mooncake_lines(
    trace: Trace,
    of_request: Mapping[int, dict[str, Any]] | None = None,
    of_instant: tuple[tuple[int, dict[str, Any]], ...] = (),
) -> Iterator[str]:
    """The lines of a trace, a JSON object each.

    Args:
        trace: what is written.
        of_request: faults by the number of their request.
        of_instant: (time in nanoseconds, fault), in order of time.

    Raises:
        UsageError: the trace's blocks are no parts of 512 tokens, or multiples.
    """
    tokens = trace.hash_tokens
    if _WHOLE % tokens and tokens % _WHOLE:
        raise UsageError(f"blocks of {tokens} tokens cannot be written as blocks of {_WHOLE}")
    ids: dict[object, int] = {}
    sessions = _sessions(trace)
    left = list(of_instant)
    for row in range(len(trace)):
        while left and 0 <= left[0][0] <= trace.at_ns[row]:
            at_ns, fault = left.pop(0)
            yield json.dumps({"timestamp": _ms(at_ns), "fault": fault})
        yield json.dumps(_line(trace, row, ids, sessions, (of_request or {}).get(row)))
    for at_ns, fault in left:
        yield json.dumps({"timestamp": _ms(at_ns), "fault": fault})


def _line(
    trace: Trace,
    row: int,
    ids: dict[object, int],
    sessions: dict[int, int],
    fault: dict[str, Any] | None,
) -> dict[str, Any]:
    line: dict[str, Any] = {}
    if trace.at_ns[row] >= 0:
        line["timestamp"] = _ms(trace.at_ns[row])
    line["input_length"] = trace.prompt_tokens[row]
    line["output_length"] = trace.output_tokens[row]
    line["hash_ids"] = [ids.setdefault(name, len(ids)) for name in _names(trace, row)]
    if row in sessions:
        line["session"] = sessions[row]
    if trace.follows[row] != FIRST:
        line["think_ms"] = _ms(trace.think_ns[row])
    if trace.cancel_ns[row] != NO_CANCEL_NS:
        line["cancel_ms"] = _ms(trace.cancel_ns[row])
    if fault is not None:
        line["fault"] = fault
    return line


def _names(trace: Trace, row: int) -> list[object]:
    """A name for each 512 tokens of the prompt, the last part included, by what is known of it."""
    prompt = trace.prompt_tokens[row]
    names: list[object] = list(trace.hashes(row, _WHOLE))
    names += [("nobody else's", row, at) for at in range(len(names), prompt // _WHOLE)]
    if prompt % _WHOLE:
        last = trace.ids[trace.first_id[row] : trace.first_id[row + 1]][-1:]
        if trace.conversation[row] >= 0:
            names.append(("part", trace.conversation[row], prompt))
        elif last and trace.known_tokens[row] == prompt:
            names.append(("part of known", last[0]))
        else:
            names.append(("nobody else's", row, len(names)))
    return names


def _sessions(trace: Trace) -> dict[int, int]:
    """Row -> the number of its session, of rows that follow another or are followed.

    A line names its session, whose last line it follows. So where several turns follow one answer,
    the later ones stand alone, as recorded.
    """
    found: dict[int, int] = {}
    last: set[int] = set()
    count = 0
    for row, before in enumerate(trace.follows):
        if before == FIRST:
            continue
        if before not in found:
            found[before] = count
            count += 1
        if before not in last:
            found[row] = found[before]
            last.add(before)
    return found


def _ms(time_ns: int) -> int | float:
    return time_ns // NS_PER_MS if time_ns % NS_PER_MS == 0 else time_ns / NS_PER_MS
