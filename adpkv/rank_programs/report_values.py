"""The report about a failed schedule for programs: as values that JSON can hold."""

from __future__ import annotations

from typing import Any

from adpkv.rank_programs.evidence import Evidence, KilledView, RankView
from adpkv.rank_programs.race_report import race_values
from adpkv.rank_programs.report import Report, Why
from adpkv.rank_programs.sites import operation_text, short
from adpkv.rank_programs.variables import line_of

__all__ = ["as_values"]


def as_values(report: Report) -> dict[str, Any]:
    """The report for programs."""
    evidence, diagnosis = report.evidence, report.diagnosis
    return {
        "target": report.target,
        "error": evidence.failure.what.value,
        "kind": diagnosis.kind.value,
        "diagnosis": diagnosis.sentence,
        "message": evidence.failure.message,
        "unending": report.unending or None,
        "odd": list(diagnosis.odd),
        "others": list(diagnosis.others),
        "group": evidence.name(diagnosis.group) if diagnosis.group >= 0 else None,
        "position": diagnosis.position or None,
        "parted_position": report.why.parted if report.why and report.why.parted else None,
        "why": None if report.why is None else _why_values(report.why),
        "races": [race_values(race) for race in report.races],
        "ranks": [_rank_values(evidence, view) for view in evidence.ranks],
        "groups": [{"name": name, "ranks": list(ranks)} for name, ranks in evidence.groups],
        "clock_s": evidence.clock_s,
        "killed": [_killed_view(kill) for kill in evidence.killed],
        "schedules": report.schedules,
        "choices": report.choices,
        "token": report.token,
        "replay": report.replay,
        "switches": evidence.switches,
        "smaller": None
        if report.smaller is None
        else {
            "ranks": report.smaller.ranks,
            "token": report.smaller.token,
            "replay": report.smaller.replay,
        },
    }


def _why_values(why: Why) -> dict[str, Any]:
    return {
        "file": short(why.file),
        "line": why.line,
        "source": line_of(why.file, why.line),
        "function": why.function,
        "odd_ranks": list(why.alike),
        "odd_next_line": why.odd_next or None,
        "odd_next_source": line_of(why.file, why.odd_next) or None,
        "others_next_line": why.others_next or None,
        "others_next_source": line_of(why.file, why.others_next) or None,
        "variables": [
            {"name": name, "values": {str(rank): text for rank, text in values.items()}}
            for name, values in why.variables
        ],
    }


def _killed_view(kill: KilledView) -> dict[str, Any]:
    at = kill.at
    return {
        "rank": kill.rank,
        "within": kill.within,
        "clock_s": kill.clock_s,
        "operation": operation_text(at),
        "file": short(at.file),
        "line": at.line,
        "source": line_of(at.file, at.line),
    }


def _rank_values(evidence: Evidence, view: RankView) -> dict[str, Any]:
    at = view.at
    return {
        "rank": view.rank,
        "state": view.state,
        "waits_for": view.waits_for or None,
        "operation": None
        if at is None
        else {
            "kind": at.kind,
            "text": at.text,
            "group": evidence.name(at.group) if at.group >= 0 else None,
            "position": at.position or None,
            "file": short(at.file),
            "line": at.line,
            "source": line_of(at.file, at.line),
        },
        "positions": {evidence.name(group): count for group, count in view.counts.items()},
        "stack": [
            {
                "file": short(site.file),
                "line": site.line,
                "function": site.function,
                "source": line_of(site.file, site.line),
            }
            for site in view.stack
        ],
        "traceback": list(view.error),
        "output": list(view.output),
    }
