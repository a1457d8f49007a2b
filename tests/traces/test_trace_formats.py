"""Each published format: noticed by its content, read in its units, refused with a place."""

from __future__ import annotations

from pathlib import Path

import pytest

from adpkv.core.ids import NEVER
from adpkv.errors import TraceError, UsageError
from adpkv.traces.burstgpt import FAILED_AFTER_NS, FAILED_OUTPUT_TOKENS
from adpkv.traces.registry import FORMATS, assumed, format_of, notice
from adpkv.workload.reading import Limits, Scaling, Sessions, read
from adpkv.workload.traces import FIRST, Trace

SAMPLES = Path(__file__).with_name("samples")
MS, S = 1_000_000, 1_000_000_000

NOTICED = {
    "azure-2023.csv": ("azure", "times are dates, counted from the first row; no hash ids"),
    "azure-2024.csv": ("azure", "no hash ids"),
    "burstgpt.csv": ("burstgpt", "times in seconds, counted from the first row"),
    "burstgpt-2.csv": ("burstgpt", "a response of 0 tokens is a client that cancels"),
    "bailian.jsonl": ("bailian", "times in seconds, .*; 16 tokens per hash id"),
    "sharegpt.json": ("sharegpt", "no times, so conversations start at a rate that is given"),
    "vidur.csv": ("vidur", "times in seconds"),
    "llmservingsim.jsonl": ("llmservingsim", "times in nanoseconds"),
    "mooncake.jsonl": ("mooncake", "times in milliseconds from the start.*; 512 tokens per hash"),
    "aiperf.jsonl": ("mooncake", ""),
    "adpkv.jsonl": ("mooncake", ""),
}


def trace_of(name: str, sessions: Sessions | None = None, scaling: Scaling | None = None) -> Trace:
    return read(SAMPLES / name, None, scaling or Scaling(), sessions=sessions)


def columns(trace: Trace) -> list[tuple[int, int, int]]:
    return list(zip(trace.at_ns, trace.prompt_tokens, trace.output_tokens, strict=True))


@pytest.mark.parametrize("name", NOTICED)
def test_a_format_is_noticed_by_content_and_says_what_it_assumes(name: str, tmp_path: Path) -> None:
    nameless = tmp_path / "data"
    nameless.write_bytes((SAMPLES / name).read_bytes())
    found = notice(nameless)
    assert found.name == NOTICED[name][0]
    assert __import__("re").search(NOTICED[name][1], assumed(found))


def test_there_is_a_sample_of_every_format() -> None:
    assert {name for name, _ in NOTICED.values()} == {format_of(one).name for one in FORMATS}
    assert {path.name for path in SAMPLES.iterdir()} == set(NOTICED)


def test_azure_has_dates_of_two_kinds() -> None:
    assert columns(trace_of("azure-2023.csv")) == [
        (0, 400, 10),
        (250_000_100, 90, 1),
        (60 * S, 1200, 33),
    ]
    assert list(trace_of("azure-2024.csv").at_ns) == [0, 2 * S - 9_930_000]


def test_a_response_of_nothing_is_a_client_that_cancels() -> None:
    trace = trace_of("burstgpt.csv")
    assert columns(trace) == [
        (0, 400, 18),
        (40 * S, 80, FAILED_OUTPUT_TOKENS),
        (40 * S, 1, FAILED_OUTPUT_TOKENS),
    ]
    assert list(trace.cancel_ns) == [-1, FAILED_AFTER_NS, FAILED_AFTER_NS]
    assert trace_of("burstgpt-2.csv").cancel_ns[1] == 1_500 * MS


def test_burstgpts_sessions_think_from_the_answer_on() -> None:
    trace = trace_of("burstgpt-2.csv")
    assert list(trace.follows) == [FIRST, FIRST, 0, 2]
    assert list(trace.think_ns) == [0, 0, 36_500 * MS, 43 * S]
    first, _, second, third = (trace.hashes(n, 64) for n in range(4))
    assert second[: len(first)] == first
    assert len(second) == 700 // 64
    assert len(first) == 400 // 64
    assert not set(third) & set(second)


def test_bailians_ids_are_chained() -> None:
    trace = trace_of("bailian.jsonl")
    assert [at for at, _, _ in columns(trace)] == [0, 500 * MS, 9 * S, 9_500 * MS]
    one, other, turn, late = (trace.hashes(n, 16) for n in range(4))
    assert turn[:2] == one[:2]
    # The same contents behind another beginning are other prefixes.
    assert not set(other) & set(one)
    assert late == one[:1]
    assert list(trace.follows) == [FIRST, FIRST, 0, FIRST]
    assert trace.think_ns[2] == 9 * S
    assert trace.hashes(2, 32) == (turn[1], turn[3])
    assert len(trace.hashes(2, 8)) == 10


@pytest.mark.parametrize("rate", [1e-310, 1e-12, 1e-9])
def test_arrivals_that_are_drawn_come_before_the_end_of_time(rate: float) -> None:
    """They had all come at once at that instant."""
    told = rf"sharegpt.json:2:3: a rate of {rate:g} a second .* after ten years"
    with pytest.raises(TraceError, match=told):
        trace_of("sharegpt.json", Sessions(rate_per_s=rate, think_ns=0))


def test_sharegpts_turns_have_all_that_was_said_before_in_their_prompts() -> None:
    trace = trace_of("sharegpt.json", Sessions(rate_per_s=2.0, think_ns=3 * S))
    assert [(p, o) for _, p, o in columns(trace)] == [(10, 2), (13, 2), (4, 1)]
    assert list(trace.follows) == [FIRST, 0, FIRST]
    assert list(trace.think_ns) == [0, 3 * S, 0]
    first, turn, later = trace.at_ns
    assert 0 < first < later
    assert turn == -1
    assert trace.hashes(1, 2)[:5] == trace.hashes(0, 2)
    with pytest.raises(TraceError, match=r"sharegpt.json:2:3: .* has no times: give workload.rate"):
        trace_of("sharegpt.json")
    with pytest.raises(TraceError, match=r"no time of its own: workload.sessions must be follow"):
        trace_of("sharegpt.json", Sessions("recorded", rate_per_s=1.0))


def test_a_rate_replaces_the_times_but_not_the_thoughts() -> None:
    trace = trace_of("burstgpt-2.csv", Sessions(rate_per_s=100.0))
    first, second, *turns = trace.at_ns
    assert 0 < first < second < 1 * S
    assert turns == [-1, -1]
    assert trace.think_ns[2] == 36_500 * MS
    drawn = trace_of("burstgpt-2.csv", Sessions("recorded", rate_per_s=100.0)).at_ns
    assert list(drawn) == sorted(drawn)
    assert trace_of("vidur.csv", Sessions(rate_per_s=1.0, seed=1)).at_ns != (
        trace_of("vidur.csv", Sessions(rate_per_s=1.0, seed=2)).at_ns
    )


def test_vidur_and_llmservingsim() -> None:
    assert columns(trace_of("vidur.csv")) == [(0, 591, 140), (125 * MS, 547, 248)]
    trace = trace_of("llmservingsim.jsonl")
    assert columns(trace) == [(0, 20, 7), (50 * MS, 18, 9), (60 * MS, 100, 20), (-1, 150, 5)]
    assert trace.hashes(0, 16) == trace.hashes(1, 16)
    assert trace.follows[3] == 2
    assert trace.think_ns[3] == 2 * S
    assert trace.hashes(3, 16)[:6] == trace.hashes(2, 16)


def test_aiperfs_turns_add_to_their_session() -> None:
    trace = trace_of("aiperf.jsonl")
    assert columns(trace) == [(0, 600, 40), (500 * MS, 100, 9), (-1, 700, 30), (9 * S, 4, 4)]
    assert trace.follows[2] == 0
    assert trace.think_ns[2] == 2_500 * MS
    assert trace.hashes(2, 64)[:9] == trace.hashes(0, 64)
    assert len(trace.hashes(2, 64)) == 10
    assert trace.hashes(1, 64) == ()


def test_ours_have_whole_prompts_cancels_and_deadlines() -> None:
    trace = trace_of("adpkv.jsonl")
    assert list(trace.prompt_tokens) == [600, 60, 700]
    assert list(trace.cancel_ns) == [-1, 400 * MS, -1]
    assert trace.follows[2] == 0
    assert trace.think_ns[2] == 250 * MS
    assert columns(trace_of("adpkv.jsonl", Sessions("recorded")))[2][0] == 5 * S
    assert not trace_of("adpkv.jsonl", Sessions("recorded")).has_sessions


def test_a_part_is_cut_by_time() -> None:
    part = Scaling(from_ns=10 * S, until_ns=90 * S)
    trace = trace_of("burstgpt-2.csv", scaling=part)
    # Counted from the first row: 5 s, 12 s, 45 s, 90 s are 0, 7, 40 and 85.
    assert [at for at, _, _ in columns(trace)] == [30 * S, 75 * S]
    assert list(trace.follows) == [FIRST, 0]
    with pytest.raises(TraceError, match="empty, in the part that is wanted"):
        trace_of("burstgpt-2.csv", scaling=Scaling(from_ns=1000 * S))


BROKEN = {
    "azure-2023.csv": [
        ("18:00:01.3500001", "", r":3:1: TIMESTAMP must be a date"),
        ("2023-11-16 18:00:01.3500001", "", r":3:1: TIMESTAMP is empty: a row without a time"),
        ("2023-11-16 18:00:01.35", "2023-13-16 18:00:01.35", r":3:1: TIMESTAMP must be a date"),
        (",90,0", ",many,0", r":3:29: ContextTokens must be a whole number, not 'many'"),
        (",90,0", ",90", r":3:1: 2 cells where the headings have 3"),
        ("18:01:01", "17:01:01", r":4:1: TIMESTAMP .* is before that of the line above"),
        ("ContextTokens", "Tokens", r":1:1: the headings .* are those of no trace"),
        (",90,0", ',"90,0', r":3:1: unexpected end of data"),
    ],
    "burstgpt.csv": [
        ("45,GPT-4,80", ",GPT-4,80", r":3:1: Timestamp is empty: a row without a time"),
        ("45,GPT-4,80", "1e400,GPT-4,80", r":3:1: Timestamp must be a time in seconds"),
        ("400,18", "0,18", r":2:11: Request tokens must be a whole number >= 1, not '0'"),
        ("400,18", "4.5,18", r":2:11: Request tokens must be a whole number >= 1, not '4.5'"),
    ],
    "bailian.jsonl": [
        ('"timestamp": 62.0, ', "", r":2:1: .*missing required field `timestamp`"),
        ("[200, 102, 103]", "[200]", r":2:\d+: 1 hash_ids for 48 prompt tokens, expected 3"),
        ('"input_length": 48', '"input_length": "48"', r":2:73: Expected `int`, got `str`"),
    ],
    "llmservingsim.jsonl": [
        ('"arrival_time_ns": 90000000, ', "", r":2:1: .*field `arrival_time_ns`"),
        ('"arrival_time_ns": 90000000', f'"arrival_time_ns": {NEVER}', r":2:\d+: Expected `int` <"),
        ('"input_toks": 18, ', '"input_toks": 17, ', r":2:\d+: 18 input_tok_ids for 17"),
        ('"output_toks": 9, ', "", r":2:1: .*missing required field `output_toks`"),
    ],
    "sharegpt.json": [
        ('"value": "Hi there"', '"values": "Hi"', r":10:3: a message without a text"),
        ('"value": "Hi there"', '"value": 5', r":12:32: Expected `str \| null`, got `int`"),
        ('"value": "Hi there"', '"value": ', r":12:32: .*malformed.*found .*human"),
        ('{"id": "c", "conversations"', '{"id": "c", "talks"', r":9:3: no conversations"),
    ],
    "mooncake.jsonl": [
        ('"timestamp": 1500, ', "", r":2:1: .*missing required field `timestamp`"),
        ("[46, 49]", "[46, 49", r":2:81: JSON is malformed"),
        ("[46, 49]}", "[46, 49]", r":2:82: Input data was truncated"),
        ("600", "true", r":2:37: Expected `int \| null`, got `bool`"),
    ],
    "aiperf.jsonl": [
        ('"delay": 2500, ', "", r":3:1: .*missing required field `timestamp`"),
        ('"text_input": "sixteen letters.", ', "", r":4:1: .*required field `input_length`"),
        ('"output_length": 4,', "", r":4:1: .*required field `output_length`"),
    ],
}


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [(name, *one) for name, several in BROKEN.items() for one in several],
)
def test_a_broken_row_is_told_with_its_place(
    tmp_path: Path, name: str, old: str, new: str, message: str
) -> None:
    text = (SAMPLES / name).read_text()
    assert old in text
    file = tmp_path / name
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(TraceError, match=f"^{file}{message}"):
        read(file, None, Scaling(), sessions=Sessions(rate_per_s=1.0) if "gpt.j" in name else None)


def test_blocks_that_do_not_fit_the_ids_are_refused() -> None:
    with pytest.raises(UsageError, match=r"kv_cache.block_tokens must divide 16 .*found 24"):
        read(SAMPLES / "bailian.jsonl", Limits(24, 999, 999), Scaling())
    read(SAMPLES / "bailian.jsonl", Limits(48, 999, 999), Scaling())
    read(SAMPLES / "vidur.csv", Limits(24, 999, 999), Scaling())
