"""`adpkv trace`: describes, cuts, scales and converts; writes whole files or none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adpkv.cli.app import app
from adpkv.errors import UsageError
from adpkv.workload.building import SAMPLE
from adpkv.workload.describing import described
from adpkv.workload.reading import Scaling, Sessions, read
from adpkv.workload.traces import Trace

SAMPLES = Path(__file__).parent.parent / "traces" / "samples"


def _trace(*argv: object) -> str:
    result = CliRunner().invoke(app, ["trace", *map(str, argv)])
    if isinstance(result.exception, UsageError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def _shared(trace: Trace) -> list[int]:
    """How many of each request's 512-token blocks came before."""
    seen: set[int] = set()
    found = []
    for number in range(len(trace)):
        hashes = trace.hashes(number, 512)
        found.append(sum(1 for one in hashes if one in seen))
        seen.update(hashes)
    return found


def test_it_tells_arrivals_lengths_reuse_and_sessions() -> None:
    first, *lines = _trace("sample").splitlines()
    assert first.endswith(
        "Mooncake JSON lines: times in milliseconds from the start of the run;"
        " 512 tokens per hash id"
    )
    told = "\n".join(lines)
    assert lines[0] == "  200 requests"
    for text in ("arrivals: 200 over", "/s on average", "prompt tokens: ", "reuse: ", "sessions: "):
        assert f"  {text}" in told or text in told


def test_sessions_and_cancels_are_told() -> None:
    told = _trace(SAMPLES / "burstgpt-2.csv")
    assert (
        "sessions: 1 of several turns, 3.0 turns on average, 3 at most, think time p50 36.5s"
        in (told)
    )
    assert "cancelled by their clients: 1" in told
    assert "the trace tells none" in _trace(SAMPLES / "sharegpt.json")
    assert "faults: 1" in _trace(SAMPLES / "adpkv.jsonl")


def test_reuse_is_what_an_unbounded_cache_would_have() -> None:
    figures = json.loads(_trace(SAMPLES / "mooncake.jsonl", "--json"))
    assert figures["format"] == "mooncake"
    assert figures["reuse"] == {
        "block_tokens": 512,
        "share": 512 / 1900,
        "known_share": 3 * 512 / 1900,
        "blocks": 2,
    }


def test_it_cuts_and_scales() -> None:
    argv = ("--limit", 2, "--speed", 2, "--prompt-scale", 0.5, "--json")
    figures = json.loads(_trace(SAMPLES / "azure-2023.csv", *argv))
    assert figures["requests"] == 2
    assert figures["prompt_tokens"]["max"] == 200
    assert figures["arrivals"]["span_s"] == pytest.approx(0.125)
    part = json.loads(_trace(SAMPLES / "azure-2023.csv", "--from", "200ms", "--json"))
    assert part["requests"] == 2


def _rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("path", sorted(SAMPLES.iterdir()), ids=lambda path: path.name)
def test_what_is_converted_is_the_same_trace(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "made.jsonl"
    rate = ("--rate", 2) if path.suffix == ".json" else ()
    said = _trace(path, "--to", "mooncake", "--out", out, *rate)
    sessions = Sessions(rate_per_s=2.0) if rate else None
    before = read(path, None, Scaling(), sessions=sessions)
    after = read(out, None, Scaling())
    first, *lost = said.splitlines()
    assert first == f"{out}: written, {len(before)} requests"
    small = path.name in ("bailian.jsonl", "burstgpt-2.csv", "llmservingsim.jsonl")
    assert [line.partition(":")[0] for line in lost] == (["reuse"] if small else [])
    for column in ("prompt_tokens", "output_tokens", "follows", "think_ns", "cancel_ns"):
        assert getattr(after, column) == getattr(before, column), column
    assert [max(at, -1) for at in after.at_ns] == pytest.approx(list(before.at_ns), abs=1)
    assert _shared(after) == _shared(before)


def test_what_a_conversion_loses_of_the_reuse_is_said(tmp_path: Path) -> None:
    """Of ids of 16 tokens 25.9 % of the prompts were there before; of 512, none, without a word."""
    said = _trace(SAMPLES / "bailian.jsonl", "--to", "mooncake", "--out", tmp_path / "m.jsonl")
    assert said.splitlines()[1] == (
        "reuse: 0.0% of the prompt tokens in blocks of 512, 25.9% in blocks of 16: an id names 512"
        " tokens there"
    )


def test_the_packaged_sample_keeps_its_reuse() -> None:
    trace = read(SAMPLE, None, Scaling())
    rows = _rows(_trace("sample", "--to", "mooncake"))
    assert [row["hash_ids"] for row in rows] == [
        json.loads(line)["hash_ids"] for line in SAMPLE.read_text().splitlines()
    ]
    assert described(trace)["reuse"]["share"] > 0.3


def test_faults_are_kept() -> None:
    rows = _rows(_trace(SAMPLES / "adpkv.jsonl", "--to", "mooncake", "--speed", 2))
    (fault,) = (row for row in rows if "fault" in row)
    assert fault == {
        "timestamp": 400,
        "fault": {"kind": "sigstop", "ranks": [1], "duration": "20ms"},
    }
    with pytest.raises(UsageError, match="cannot be cut by time"):
        _trace(SAMPLES / "adpkv.jsonl", "--to", "mooncake", "--from", "1ms")


def test_what_is_open_is_written_to_and_never_replaced(tmp_path: Path) -> None:
    """Of `--out /dev/stdout` its link was replaced where that could be, as root."""
    link, file = tmp_path / "stdout", tmp_path / "file"
    link.symlink_to("/proc/self/fd/1")
    argv = [sys.executable, "-m", "adpkv", "trace", str(SAMPLES / "mooncake.jsonl")]
    argv += ["--to", "mooncake", "--out", str(link)]
    with file.open("w") as out:
        out.write("first\n")
        out.flush()
        done = subprocess.run(argv, stdout=out, stderr=subprocess.PIPE, text=True, timeout=60)
    assert link.is_symlink()
    first, *rest = file.read_text().splitlines()
    assert first == "first"
    assert rest == _trace(SAMPLES / "mooncake.jsonl", "--to", "mooncake").splitlines()
    assert done.stderr == f"{link}: written, {len(rest)} requests\n"
    assert sorted(tmp_path.iterdir()) == [file, link]


def test_nothing_is_written_of_a_broken_trace(tmp_path: Path) -> None:
    broken, out = tmp_path / "t.jsonl", tmp_path / "out.jsonl"
    broken.write_text((SAMPLES / "mooncake.jsonl").read_text() + "{")
    with pytest.raises(UsageError, match=r"t.jsonl:3:2: Input data was truncated"):
        _trace(broken, "--to", "mooncake", "--out", out)
    with pytest.raises(UsageError, match="cannot be written: No such file"):
        _trace("sample", "--to", "mooncake", "--out", tmp_path / "none" / "out.jsonl")
    assert list(tmp_path.iterdir()) == [broken]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("sample", "--out", "x"), "--out goes with --to"),
        (("sample", "--speed", "0"), "--speed must be a number above 0"),
        (("sample", "--from", "3"), "--from: '3' needs a unit: write 3s"),
        (("none.jsonl",), "none.jsonl: the trace cannot be read: No such file"),
        ((SAMPLES / "sharegpt.json", "--to", "mooncake"), "has no times: --rate draws them"),
    ],
)
def test_what_cannot_be_done_is_said(argv: tuple[object, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _trace(*argv)
