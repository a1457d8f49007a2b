"""Traces: strict lines, block hashes at any block size, scaling."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adpkv.core.ids import NEVER
from adpkv.errors import TraceError
from adpkv.workload.building import SAMPLE
from adpkv.workload.cancels import Clients
from adpkv.workload.make_sample import lines
from adpkv.workload.reading import Limits, Scaling, read
from adpkv.workload.traces import Trace, TraceWorkload

ROOMY = Limits(block_tokens=512, most_blocks=10_000, most_prompt_blocks=10_000)
PLAIN = Scaling()


def _line(at: float = 0, prompt: int = 1300, output: int = 5, ids: object = (7, 8, 9)) -> str:
    return json.dumps(
        {"timestamp": at, "input_length": prompt, "output_length": output, "hash_ids": ids}
    )


def _read(path: Path, *text: str, limits: Limits = ROOMY, scaling: Scaling = PLAIN) -> Trace:
    file = path / "trace.jsonl"
    file.write_text("\n".join(text) + "\n")
    return read(file, limits, scaling)


def test_a_trace_becomes_arrivals(tmp_path: Path) -> None:
    trace = _read(tmp_path, _line(0), "", _line(2.5, 600, 1, [7, 30]))
    workload = TraceWorkload(trace, Clients(0), 512)
    assert (workload.total, workload.due_ns()) == (2, 0)
    first = workload.take()
    assert (first.prompt_tokens, first.output_tokens, first.block_hashes) == (1300, 5, (7, 8))
    workload.ended(1, 0)
    assert workload.due_ns() == 2_500_000
    assert workload.take().block_hashes == (7,)
    assert workload.due_ns() == NEVER
    with pytest.raises(IndexError, match="all 2 requests"):
        workload.take()


@pytest.mark.parametrize(
    ("block_tokens", "expected"),
    [
        (512, (7, 8)),
        (256, (14, 15, 16, 17, 18)),
        (1024, (8,)),
        (2048, ()),
    ],
)
def test_ids_become_one_hash_per_full_block(
    tmp_path: Path, block_tokens: int, expected: tuple[int, ...]
) -> None:
    assert _read(tmp_path, _line()).hashes(0, block_tokens) == expected


def test_larger_blocks_take_the_last_id(tmp_path: Path) -> None:
    trace = _read(tmp_path, _line(prompt=5 * 512, ids=[1, 2, 3, 4, 5]))
    assert trace.hashes(0, 1024) == (2, 4)


def test_a_shortened_prompt_keeps_the_hashes_of_its_full_blocks(tmp_path: Path) -> None:
    trace = _read(tmp_path, _line(), scaling=Scaling(prompt=0.5, output=0.1))
    assert (trace.prompt_tokens[0], trace.output_tokens[0]) == (650, 1)
    assert trace.hashes(0, 512) == (7,)


def test_a_lengthened_prompt_has_no_hashes_for_what_nobody_knows(tmp_path: Path) -> None:
    trace = _read(tmp_path, _line(), scaling=Scaling(prompt=3.0))
    assert trace.prompt_tokens[0] == 3900
    assert trace.hashes(0, 512) == (7, 8)
    assert len(trace.hashes(0, 64)) == 1300 // 64


def test_limit_and_speed(tmp_path: Path) -> None:
    text = [_line(at) for at in (0, 10, 20)]
    trace = _read(tmp_path, *text, "not even JSON", scaling=Scaling(limit=3, speed=2.0))
    assert list(trace.at_ns) == [0, 5_000_000, 10_000_000]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{", "truncated"),
        ("[1]", "Expected `object`"),
        ('{"timestamp": 0}', "missing required field `input_length`"),
        (_line(prompt=0), "Expected `int` >= 1 - at `$.input_length`; found"),
        (_line(output=0), r"`$.output_length`"),
        (_line(at=-1), r"`$.timestamp`"),
        (_line(ids=[1, "2", 3]), r"`$.hash_ids[1]`"),
        (_line(ids=[1, 2, -3]), r"`$.hash_ids[2]`"),
        (_line(ids=[1, 2]), "2 hash_ids for 1300 prompt tokens, expected 3"),
        (_line(at=4), "timestamp 4 ms is before that of the line above"),
        (_line(at=1e300), "too large"),
        ('{"other": ' + "[" * 50_000 + "]" * 50_000 + "}", "nested too deeply; found"),
    ],
)
def test_a_bad_line_is_named_and_shown(tmp_path: Path, bad: str, message: str) -> None:
    with pytest.raises(TraceError) as caught:
        _read(tmp_path, _line(9), bad)
    assert str(caught.value).startswith(f"{tmp_path}/trace.jsonl:2:")
    assert message in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    file.write_bytes(b"\xff\xfe\n")
    with pytest.raises(TraceError, match=r"trace\.jsonl:1:1: .*found '.*xff"):
        read(file, ROOMY, PLAIN)


def test_a_long_bad_line_is_shown_in_part(tmp_path: Path) -> None:
    with pytest.raises(TraceError) as caught:
        _read(tmp_path, "x" * 10_000)
    assert len(str(caught.value)) < 400


def test_a_missing_file_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"none\.jsonl: the trace cannot be read: No such file"):
        read(tmp_path / "none.jsonl", ROOMY, PLAIN)
    with pytest.raises(TraceError, match=r"trace\.jsonl:1: the trace is empty"):
        _read(tmp_path, "")


def test_a_request_longer_than_the_pool_names_both_numbers(tmp_path: Path) -> None:
    limits = Limits(block_tokens=64, most_blocks=20, most_prompt_blocks=100)
    with pytest.raises(TraceError, match=r":1:\d+: .*1300 prompt and 5 .*needs 21 .*has 20 "):
        _read(tmp_path, _line(), limits=limits)


def test_a_prompt_too_large_for_one_transfer_names_both_numbers(tmp_path: Path) -> None:
    limits = Limits(block_tokens=64, most_blocks=100, most_prompt_blocks=20)
    with pytest.raises(TraceError, match=r":1:\d+: .*transfer of 21 blocks.*_per_peer is 20"):
        _read(tmp_path, _line(), limits=limits)


def test_the_packaged_sample_is_what_its_script_makes() -> None:
    assert SAMPLE.read_text().splitlines() == lines()


def test_the_packaged_sample_is_readable_and_shares_prefixes() -> None:
    trace = read(SAMPLE, ROOMY, PLAIN)
    assert len(trace) == 200
    assert len(set(trace.ids)) < 0.5 * len(trace.ids)
    before: dict[int, int] = {}
    for n in range(len(trace)):
        last = -1
        for block in trace.ids[trace.first_id[n] : trace.first_id[n + 1]]:
            assert before.setdefault(block, last) == last, "an id names the whole prefix"
            last = block
