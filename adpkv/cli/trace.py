"""`adpkv trace`: what is in a trace file; and a part of it, scaled or in another format."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from adpkv.cli.options import AsJson
from adpkv.cli.remarks import say
from adpkv.counting import counted

if TYPE_CHECKING:
    from adpkv.traces.row import Format
    from adpkv.workload.traces import Trace

__all__ = ["trace"]

LITTLE: Final = 0.001
"""Of all prompt tokens; less is not worth a word."""


class Target(StrEnum):
    """The formats that are written."""

    MOONCAKE = "mooncake"


class SessionMode(StrEnum):
    """As `workload.sessions`."""

    FOLLOW = "follow"
    RECORDED = "recorded"


def _time(option: str, text: str) -> int:
    from adpkv.config.units import parse_duration
    from adpkv.errors import UsageError

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {text!r} {error}") from None


def trace(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="The trace; `sample` is the packaged one.")
    ],
    to: Annotated[Target | None, typer.Option(help="Convert to this format.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where --to writes.", show_default="stdout"),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The first so many requests.")
    ] = None,
    begin: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Cut: from here on; such as 10m.")
    ] = "0s",
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Cut: before this.")] = None,
    speed: Annotated[float, typer.Option(help="Everything so many times as fast.")] = 1.0,
    prompt_scale: Annotated[float, typer.Option(help="Multiply prompt lengths.")] = 1.0,
    output_scale: Annotated[float, typer.Option(help="Multiply output lengths.")] = 1.0,
    sessions: Annotated[
        SessionMode, typer.Option(help="As workload.sessions.")
    ] = SessionMode.FOLLOW,
    rate: Annotated[
        float | None, typer.Option(help="Draw arrivals: so many conversations per second.")
    ] = None,
    chars_per_token: Annotated[float, typer.Option(help="Of a trace that has texts.")] = 4.0,
    hash_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens per hash id, if not the format's.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the arrivals that --rate draws.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Describe a trace: arrivals, lengths, reuse, sessions. Or cut, scale and convert it."""
    from adpkv.errors import UsageError
    from adpkv.traces.registry import notice
    from adpkv.traces.row import Reading
    from adpkv.workload.building import SAMPLE
    from adpkv.workload.reading import Scaling, Sessions, read

    for name, value in (
        ("--speed", speed),
        ("--prompt-scale", prompt_scale),
        ("--output-scale", output_scale),
        ("--chars-per-token", chars_per_token),
        ("--rate", 1.0 if rate is None else rate),
    ):
        if not 0 < value < float("inf"):
            raise UsageError(f"{name} must be a number above 0, not {value:g}")
    if out is not None and to is None:
        raise UsageError("--out goes with --to, which says in which format")
    if as_json and to is not None:
        raise UsageError("--json describes a trace, and --to writes one: leave out one of them")
    path = SAMPLE if file == "sample" else Path(file)
    found = notice(path)
    if to is not None and rate is None and not found.has_times:
        raise UsageError(f"{path}: {found.title} has no times: --rate draws them")
    until_ns = None if until is None else _time("--until", until)
    scaling = Scaling(limit, speed, prompt_scale, output_scale, _time("--from", begin), until_ns)
    drawn = 1.0 if rate is None and not found.has_times else rate
    made = read(
        path,
        None,
        scaling,
        sessions=Sessions(sessions.value, None, drawn, seed),
        reading=Reading(chars_per_token, hash_tokens or 0),
    )
    if to is not None:
        _write(path, made, out, scaling, sessions is SessionMode.FOLLOW)
        return
    _describe(path, found, made, hash_tokens or 0, has_times=drawn == rate, as_json=as_json)


def _describe(
    path: Path, found: Format, made: Trace, hash_tokens: int, *, has_times: bool, as_json: bool
) -> None:
    import json
    import sys

    from adpkv.output.tables import print_line, width_of, wrapped
    from adpkv.terminal import console_for
    from adpkv.traces.faults import faults_in
    from adpkv.traces.registry import assumed
    from adpkv.workload.describing import described, described_lines

    figures = described(made)
    if not has_times:
        figures["arrivals"] |= {"recorded": 0, "span_s": None, "rate_per_s": None, "gap_cv": None}
    figures["faults"] = len(faults_in(path, follow=False))
    if as_json:
        told = {"file": str(path), "format": found.name, "assumed": assumed(found, hash_tokens)}
        print(json.dumps(told | figures, indent=2))
        return
    lines = [f"{path}: {assumed(found, hash_tokens)}", *described_lines(figures)]
    if not has_times:
        lines.append("arrivals: the trace tells none; workload.rate, or --rate here, draws them")
    if figures["faults"]:
        lines.append(f"faults: {figures['faults']:,}")
    console = console_for(sys.stdout)
    for number, line in enumerate(lines):
        for part in wrapped(line, width_of(console), "  " if number else "", "  "):
            print_line(console, part)


def _write(path: Path, made: Trace, out: Path | None, scaling: Any, follow: bool) -> None:
    from adpkv.errors import UsageError
    from adpkv.traces.faults import faults_in
    from adpkv.whole_files import beside, whole
    from adpkv.workload.writing import mooncake_lines

    found = faults_in(path, speed=scaling.speed, limit=scaling.limit, follow=False)
    if found and (scaling.from_ns or scaling.until_ns is not None):
        raise UsageError(f"{path} has faults, which cannot be cut by time: use --limit")
    of_request = {one.number: one.told for one in found if one.number is not None}
    of_instant = tuple((one.at_ns, one.told) for one in found if one.number is None)
    lines = mooncake_lines(made, of_request, of_instant)
    if out is None:
        for line in lines:
            print(line)
        say(_lost_reuse(made))
        return
    try:
        with whole(out) as begun, begun.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror}") from None
    print(f"{out}: written, {counted(len(made), 'request')}", file=beside(out))
    if lost := _lost_reuse(made):
        print(lost, file=beside(out))


def _lost_reuse(made: Trace) -> str:
    """What of the reuse the blocks of Mooncake's ids are too large for; empty if it is next to
    nothing."""
    from adpkv.traces.mooncake import TRACE_BLOCK_TOKENS
    from adpkv.workload.describing import own_blocks, reuse_of

    blocks = (own_blocks(made), TRACE_BLOCK_TOKENS)
    before, after = (reuse_of(made, tokens)["share"] for tokens in blocks)
    if before - after < LITTLE:
        return ""
    return (
        f"reuse: {after:.1%} of the prompt tokens in blocks of {blocks[1]}, {before:.1%} in blocks"
        f" of {blocks[0]}: an id names {blocks[1]} tokens there"
    )
