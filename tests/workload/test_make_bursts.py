"""The generated trace: what it is for, and that a seed gives it again."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from adpkv.workload.describing import described
from adpkv.workload.make_bursts import lines, main
from adpkv.workload.reading import Scaling, read

REQUESTS = 1_000


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert lines(50, 7) == lines(50, 7)
    assert lines(50, 7) != lines(50, 8)


def test_prompts_are_mostly_a_shared_prefix_and_come_in_bursts(tmp_path: Path) -> None:
    path = tmp_path / "bursts.jsonl"
    path.write_text("\n".join(lines(REQUESTS)))
    figures = described(read(path, None, Scaling()))
    assert figures["requests"] == REQUESTS
    assert figures["reuse"]["share"] > 0.8
    assert figures["arrivals"]["gap_cv"] > 2  # one where arrivals are a Poisson process
    assert figures["arrivals"]["most_in_a_second"] > 20 * figures["arrivals"]["rate_per_s"]


def test_lines_are_whole_and_in_order() -> None:
    made = [json.loads(line) for line in lines(REQUESTS)]
    assert [one["timestamp"] for one in made] == sorted(one["timestamp"] for one in made)
    assert all(len(one["hash_ids"]) == -(-one["input_length"] // 512) for one in made)
    first = Counter(one["hash_ids"][0] for one in made)
    assert 2 <= len(first) <= 12, "one system prompt per application"


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--requests", "5", "--seed", "3"])
    assert capsys.readouterr().out.splitlines() == lines(5, 3)
    with pytest.raises(SystemExit):
        main(["--requests", "0"])
    assert "must be at least 1, not 0" in capsys.readouterr().err
