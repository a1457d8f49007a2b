"""What is printed when a run is over: blocks and figures in tables, the outcome in a sentence."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adpkv.counting import counted
from adpkv.exit_codes import ExitCode
from adpkv.output.faults import COULD_NEVER
from adpkv.output.figures import figure_tables
from adpkv.output.losses import lost_sentence
from adpkv.output.tables import Table, print_line, width_of, wrapped

if TYPE_CHECKING:
    from adpkv.terminal import Console

__all__ = ["closing_sentence", "closing_tables", "missed_maintenance", "oddities", "show_closing"]

Summary = Mapping[str, Any]
"""`summary.json` as `build_summary` makes it."""


def show_closing(
    console: Console, summary: Summary, folder: Path | None = None, advice: Sequence[str] = ()
) -> None:
    """Print the tables, the sentence, the `advice` (`output.advice`), and where the files are."""
    for table in closing_tables(summary):
        table.show(console)
    if summary["violations"] and folder is not None:
        _stories(console, folder)
    width = width_of(console)
    good = summary["exit_code"] == ExitCode.COMPLETED
    for line in wrapped(closing_sentence(summary), width):
        print_line(console, line, "bold green" if good else "bold red")
    unfired = [sentence for sentence in summary["unfired"] if COULD_NEVER in sentence]
    for sentence in (*unfired, *missed_maintenance(summary)):
        for line in wrapped(f"warning: {sentence}", width, hang="  "):
            print_line(console, line, "yellow")
    for sentence in advice:
        for line in wrapped(f"advice: {sentence}", width, hang="  "):
            print_line(console, line, "yellow")
    for line in _failures(summary, folder):
        print_line(console, line)
    if folder is not None:
        print_line(console, f"files: {folder}")


def closing_tables(summary: Summary) -> list[Table]:
    """In the order in which they are shown."""
    # Of a run that was killed no rank has told: its pools would all be empty.
    known = any(blocks["total"] for blocks in summary["blocks"].values())
    instances = [_instances(summary)] if known else []
    avoided = [_avoided(summary)] if summary["avoided"] else []
    outages = [_outages(summary)] if summary["outages"] else []
    return [*instances, *avoided, *outages, *figure_tables(summary)]


def _stories(console: Console, folder: Path) -> None:
    """What happened to the requests that the violations concern."""
    from adpkv.errors import UsageError
    from adpkv.output.folder import RunFolder
    from adpkv.output.story import concerned
    from adpkv.output.story_text import stories

    run = RunFolder(folder)
    try:
        requests = concerned(run)
    except (OSError, UsageError):
        return  # the run was made without events
    for line in stories(run, requests, width_of(console)):
        print_line(console, line)


def closing_sentence(summary: Summary) -> str:
    """The outcome in one sentence: what was served, in what time, and what is wrong."""
    requests = summary["requests"]
    submitted = counted(requests["submitted"], "request").replace(",", "")
    said = [f"{requests['completed']} of {submitted} completed"]
    for key in ("cancelled", "timed_out", "failed", "refused"):
        if requests[key]:
            said.append(f"{requests[key]} {key.replace('_', ' ')}")
    broken_off = summary["broken_off"]
    if broken_off is not None and broken_off["unanswered"]:
        said.append(f"{broken_off['unanswered']:,} without an answer")
    if requests["never_arrived"]:
        said.append(f"{requests['never_arrived']:,} never arrived")
    told = f"{summary['outcome']}: {', '.join(said)} in {_time_taken(summary)}{_over(summary)}"
    return f"{told}; {'; '.join(oddities(summary)) or 'no violation, nothing leaked'}."


def _failures(summary: Summary, folder: Path | None) -> list[str]:
    """The first requests that failed, each with the command that tells its story."""
    at = "" if folder is None or _is_newest(folder) else f" --out {shlex.quote(str(folder))}"
    told = [
        f"  adpkv story {failure['request']}{at}  # {failure['outcome'].replace('_', ' ')}"
        f": {failure['detail']}"
        for failure in summary["failures"]
    ]
    failed = summary["requests"]["failed"] + summary["requests"]["timed_out"]
    head = f"what happened to {'the first ' if failed > len(told) else ''}failed requests:"
    return [head, *told] if told else []


def _is_newest(folder: Path) -> bool:
    """Is it the newest run? A command that is given no folder takes that one."""
    from adpkv.errors import UsageError
    from adpkv.output.folder import RunFolder

    try:
        return RunFolder.newest().path == folder
    except UsageError:
        return False


def _over(summary: Summary) -> str:
    """With which transport and memory, where ranks were real."""
    if summary["world"] != "mpi":
        return ""
    slots = summary["staging"]
    staged = f", {slots['total']} staging slots" if slots else ""
    return f" over {summary['transport']}, {summary['memory']} memory{staged}"


def _time_taken(summary: Summary) -> str:
    wall = f"{summary['wall_s']:.1f} s"
    if summary["simulated_s"] is None:
        return wall
    return f"{summary['simulated_s']:.1f} s of virtual time ({wall})"


def oddities(summary: Summary) -> list[str]:
    """Everything that went wrong: nothing after a clean run."""
    violations, health = summary["violations"], summary["health"]
    found = [lost] if (lost := lost_sentence(summary)) else []
    if summary["broken_off"] is not None:
        found.append(summary["broken_off"]["why"])
    if summary["lost"]:
        ranks = ", ".join(map(str, summary["lost"]))
        found.append(
            f"rank {ranks} failed" if len(summary["lost"]) == 1 else f"ranks {ranks} failed"
        )
    if summary["recomputed"]:
        found.append(f"{_count(summary['recomputed'], 'request')} computed again")
    if violations:
        first = violations[0]
        found.append(
            f"{_count(len(violations), 'violation')}, the first of kind {first['kind']} on rank"
            f" {first['rank']} at {first['at_s']:.3f} s: {first['detail']}"
        )
    leaked = sum(blocks["leaked"] for blocks in summary["blocks"].values())
    if leaked:
        found.append(f"{_count(leaked, 'block')} leaked")
    if summary["responses"]["duplicates"]:
        found.append(_count(summary["responses"]["duplicates"], "duplicate response"))
    if summary["transfers"]["quarantined_now"]:
        found.append(_count(summary["transfers"]["quarantined_now"], "transfer") + " in quarantine")
    if health["reasons"]:
        found.append(f"unhealthy: {', '.join(health['reasons'])}")
    if summary["avoided"]:
        avoided = [str(one["rank"]) for one in summary["avoided"]]
        word = "rank" if len(avoided) == 1 else "ranks"
        found.append(f"{word} {', '.join(avoided)} avoided after failures")
    if summary["outages"]:
        names = dict.fromkeys(one["instance"] for one in summary["outages"])
        found.append(f"{', '.join(names)} taken out of service")
    return found


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def missed_maintenance(summary: Summary) -> list[str]:
    """A sentence for each entry of `topology.maintenance` that took no instance out."""
    return [
        f"topology.maintenance.{one['entry']} ({one['instance']} after {one['after_s']:g} s) did"
        f" not happen: {one['why']}"
        for one in summary["maintenance_missed"]
    ]


def _instances(summary: Summary) -> Table:
    blocks: Mapping[str, Mapping[str, int]] = summary["blocks"]
    keys = list(next(iter(blocks.values()), {}))
    return Table(
        ["KV blocks", *(key.replace("_", " ") for key in keys)],
        [[name, *(f"{counts[key]:,}" for key in keys)] for name, counts in blocks.items()],
    )


def _outages(summary: Summary) -> Table:
    return Table(
        ["taken out", "why", "from", "drained", "until", "requests taken", "spare"],
        [
            [
                one["instance"],
                one["why"],
                f"{one['from_s']:,.2f} s",
                "-" if one["drained_s"] is None else f"{one['drained_s']:,.2f} s",
                "the end" if one["until_s"] is None else f"{one['until_s']:,.2f} s",
                f"{one['taken']:,}",
                one["spare"] or "-",
            ]
            for one in summary["outages"]
        ],
    )


def _avoided(summary: Summary) -> Table:
    return Table(
        ["avoided", "times", "for", "probes", "readmitted", "at the end"],
        [
            [
                f"rank {one['rank']} ({one['instance']})",
                f"{one['times']:,}",
                f"{one['for_s']:,.2f} s",
                f"{one['probes']:,}",
                f"{one['readmitted']:,}",
                "avoided" if one["now"] else "trusted",
            ]
            for one in summary["avoided"]
        ],
    )
