"""What a test on real ranks says when it fails: the failing rank first, a line for each peer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adpkv.diagnosis.names import named
from adpkv.output.tables import Table
from adpkv.rank_programs.under_mpirun.job import BodyJob
from adpkv.rank_programs.under_mpirun.outcome import Outcome, State

__all__ = ["failure_text", "skipped_text"]

WIDTH: Final = 100
MOST_RANKS: Final = 16
"""Peers with a line of their own."""


def skipped_text(outcomes: Sequence[Outcome]) -> str:
    """Why the test was skipped; empty if no rank was, or one failed."""
    if any(one.state is State.FAILED for one in outcomes):
        return ""
    return next((one.message for one in outcomes if one.state is State.SKIPPED), "")


def failure_text(outcomes: Sequence[Outcome], job: BodyJob, again: str) -> str:
    """The report; empty if every rank ended well. `again`: the command that runs the test."""
    blamed, ranks = job.blamed(), job.ranks
    failed = sorted(
        (one for one in outcomes if one.state is State.FAILED),
        key=lambda one: (one.rank != blamed, one.at_s),
    )
    waiting = [one for one in outcomes if not one.ended]
    absent = ranks - len(outcomes)
    if not failed and not waiting and not absent:
        return ""
    lines: list[str] = []
    first = failed[0] if failed else None
    if first is not None:
        lines += [f"rank {first.rank} failed: {first.message}", ""]
        lines += [first.text, ""] if first.text else []
    elif waiting and job.hung:
        who = named(one.rank for one in waiting)
        lines += [f"hang: after {job.seconds:g} s, {who} had not ended, and no rank had failed", ""]
    elif waiting:
        who = named(one.rank for one in waiting)
        lines += [f"the job is over, and {who} had not ended the test", ""]
    peers = [one for one in outcomes if one is not first]
    if peers:
        rows = [(f"rank {one.rank}", _does(one)) for one in peers[:MOST_RANKS]]
        lines += [*Table((), rows, (), "  ").text(WIDTH), ""]
    if len(peers) > MOST_RANKS:
        lines += [f"... and {len(peers) - MOST_RANKS} more", ""]
    if absent:
        lines += [f"{absent} of {ranks} ranks did not begin; the job printed:", *job.output(), ""]
    lines.append(f"{ranks} real ranks; again: {again}")
    return "\n".join(lines)


def _does(one: Outcome) -> str:
    if one.state is State.RUNNING:
        return one.place or "says nothing: it computes, or is inside a library that lets nobody in"
    known = {
        State.PASSED: "has passed",
        State.KILLED: "was killed by the test",
        State.SKIPPED: f"was skipped: {one.message}",
        State.FAILED: f"failed too: {one.message}",
    }
    return known[one.state]
