"""How one run ended, read from the folder that it left behind: the same in both worlds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adpkv.errors import Place
from adpkv.exit_codes import OUTCOMES, ExitCode
from adpkv.output import RunFolder

__all__ = ["BrokeOff", "Seen", "endless", "seen_in"]


@dataclass(frozen=True, slots=True)
class BrokeOff:
    """Why a run has no summary, as its starter knows it: `deadlock.json` may say more."""

    error: str
    code: int
    message: str
    ranks: tuple[int, ...] = ()


def endless(bound_s: float) -> BrokeOff:
    """A run that was ended because it took longer than its bound."""
    why = f"it did not end within {bound_s:g} s"
    return BrokeOff("endless", ExitCode.INTERNAL_ERROR, why)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one run."""

    error: str = "none"
    """An `ErrorKind`; or `endless` for a run that took too long and was ended for that, `killed`
    for one that was ended by somebody else."""

    message: str = ""
    places: tuple[Place, ...] = ()
    ranks: tuple[int, ...] = ()
    """Those that failed."""

    violations: tuple[tuple[str, int], ...] = ()
    """(kind, rank), each once, in order of time."""

    outcome: str = "completed"
    requests: Mapping[str, int] = field(default_factory=dict)
    """As `summary.json` has them; empty where the run broke off without."""

    quarantined: int = 0
    leaked: int = 0


def seen_in(folder: Path, broke_off: BrokeOff | None) -> Seen:
    """What is in a run's folder; `broke_off` is None where the run came to its end."""
    run = RunFolder(folder)
    if broke_off is None:
        return _of_summary(json.loads(run.summary.read_text(encoding="utf-8")), run)
    told = _deadlock(run.deadlock)
    return Seen(
        error=told.get("error", broke_off.error),
        message=told.get("message", broke_off.message),
        places=tuple(Place(**place) for place in told.get("places", ())),
        ranks=broke_off.ranks,
        violations=_once((e["violation"], e["rank"]) for e in _events(run, "violation")),
        outcome=OUTCOMES.get(broke_off.code, "killed"),
    )


def _of_summary(summary: dict[str, Any], run: RunFolder) -> Seen:
    outcome = summary["outcome"]
    lost = {event["lost"] for event in _events(run, "rank_lost")} if outcome == "rank_lost" else ()
    return Seen(
        error="rank_lost" if lost else "none",
        ranks=tuple(sorted(lost)),
        violations=_once((v["kind"], v["rank"]) for v in summary["violations"]),
        outcome=outcome,
        requests=summary["requests"],
        quarantined=summary["transfers"]["quarantined_now"],
        leaked=sum(blocks["leaked"] for blocks in summary["blocks"].values()),
    )


def _deadlock(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def _events(run: RunFolder, kind: str) -> Iterator[dict[str, Any]]:
    """Events of a kind that were written down; a line may have been cut off by the end."""
    files = [run.events] if run.events.exists() else run.events_parts()
    for path in files:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
            if f'"kind":"{kind}"' in line and line.endswith("\n"):
                yield json.loads(line)


def _once(found: Any) -> tuple[tuple[str, int], ...]:
    return tuple(dict.fromkeys(found))
