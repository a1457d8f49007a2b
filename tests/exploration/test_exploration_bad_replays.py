"""A replay file that cannot be played is refused with the place, never with a traceback."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import pytest

from adpkv.errors import UsageError
from adpkv.exploration.drawing import draw
from adpkv.exploration.replay_file import file_text, read_replay, read_text, record, token
from adpkv.exploration.shrinking import written
from adpkv.exploration.trial import attempt
from adpkv.worlds.virtual.schedule import MOST_PLACE
from tests.exploration.policies import where

GOOD = file_text(record(attempt(written(draw(where(), 1)))))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("adpkv_replay: 1", "adpkv_replay: 2", "adpkv_replay: version 2 is not known here"),
        ("adpkv_replay: 1", "other: 1", "is no replay file"),
        ("schedule:", "schedule: {hurry: [[1, 2]]}\nrest:", "rest: is not known here"),
        ("healed_ns:", "schedule: {hurry: [[1, 2]]}\nhealed_ns:", "not YAML|schedule"),
        ("  name: explore", "  nome: explore", "nome"),
        ("experiment:", "experiment: 5\nmore:", "is not known here"),
    ],
)
def test_a_file_is_refused_with_the_place(old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(UsageError, match=said):
        read_text(GOOD.replace(old, new, 1), "it.yaml")


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("{hurry: [[1, 2]]}", r"schedule.hurry: is no kind of choice that is known here"),
        ("{haste: [[1, 2]]}", r"schedule.haste\[0\]: must be \[sender, to, number, sixteenths\]"),
        ("{haste: [[1, 2, 3, 17]]}", r"schedule.haste\[0\]: the choice must be from -36"),
        ("{speed: [[0, 1, 16]]}", r"schedule.speed\[0\]"),
        ("{order: [[0, 1, 2, 3, x]]}", r"schedule.order\[0\]: must be a whole number"),
        (
            f"{{order: [[0, 1, 2, 3, {MOST_PLACE + 1}]]}}",
            rf"schedule.order\[0\]: the choice must be from -{MOST_PLACE} to {MOST_PLACE}",
        ),
        ("7", "schedule: must be a mapping"),
        ("{pct: [0, 1000000000, 3, 512]}", "schedule.pct: must not be negative; a depth is at"),
        ("{drawn: [0, 99, -3, 0]}", "schedule.drawn: must not be negative"),
        (f"{{drawn: [{10**30}, 0, 0, 0]}}", "schedule.drawn: is larger than"),
    ],
)
def test_a_choice_that_is_not_known_is_refused(schedule: str, said: str) -> None:
    head = GOOD[: GOOD.index("schedule:")]
    tail = GOOD[GOOD.index("experiment:") :]
    with pytest.raises(UsageError, match=said):
        read_text(f"{head}schedule: {schedule}\n{tail}", "it.yaml")


def test_a_damaged_token_and_a_missing_file() -> None:
    whole = token(record(attempt(written(draw(where(), 1)))))
    deep = base64.urlsafe_b64encode(zlib.compress(b"[" * 100_000)).decode()
    for bad in (whole[:-9], "adpkv1.xxxx", "adpkv1.", f"adpkv1.{deep}"):
        with pytest.raises(UsageError, match="the token is damaged"):
            read_replay(bad)
    with pytest.raises(UsageError, match=r"nowhere\.yaml: cannot be read"):
        read_replay("nowhere.yaml")


def test_what_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "it.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_replay(str(file))
