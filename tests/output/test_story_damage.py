"""Run folders that are damaged: what can be told is told, and which line is damaged."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from adpkv.config import parse
from adpkv.errors import UsageError
from adpkv.output.folder import RunFolder
from adpkv.output.story import Story, concerned, last_open, read_stories
from adpkv.output.story_text import as_values, story_lines
from adpkv.worlds.virtual.run import simulate

EXPERIMENT = {
    "name": "damaged",
    "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
    "transceiver": {"transfer_timeout": "100ms"},
    "faults": [{"kind": "stall", "requests": [1, 2], "duration": "200ms"}],
    "workload": {
        "kind": "closed_loop",
        "users": 2,
        "requests": 6,
        "prompt_tokens": {"min": 64, "max": 400},
        "output_tokens": {"min": 20, "max": 40},
    },
}
JUNK = (b"null", b"-1", b"[[]]", b"1e400", b"9" * 30, b'"\xff"', b"9223372036854775807")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(parse(EXPERIMENT, "test"), out=tmp_path_factory.mktemp("run") / "out").folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> RunFolder:
    shutil.copytree(whole, tmp_path / "out")
    return RunFolder(tmp_path / "out")


def told(run: RunFolder, request: int = 1) -> Story:
    (story,) = read_stories(run, [request])
    lines = story_lines(story)
    assert lines[len(lines) - len(story.damage) :] == [f"  {note}" for note in story.damage]
    assert as_values(story)["damage"] == list(story.damage)
    return story


def nth_of(request: int, path: Path, change: Callable[[dict[str, object]], object]) -> int:
    """Change the second line about a request; says which of all lines it is."""
    lines = path.read_text().splitlines()
    numbers = [n for n, line in enumerate(lines) if json.loads(line)["request"] == request]
    values = json.loads(lines[numbers[1]])
    change(values)
    lines[numbers[1]] = json.dumps(values, separators=(",", ":"))
    path.write_text("\n".join(lines) + "\n")
    return numbers[1] + 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"rank": 4}, "there is no rank 4"),
        ({"rank": -2}, "there is no rank -2"),
        ({"at_ns": -1}, "-1 ns is no time of a run"),
        ({"at_ns": 10**25}, "ns is no time of a run"),
        ({"kind": 7}, "Expected `str`, got `int`"),
        ({"kind": "routed", "instance": "x"}, "invalid literal for int()"),
        ({"kind": "ended", "outcome": []}, "unhashable type"),
        ({"lost": "x"}, "Expected `int`, got `str`"),
    ],
    ids=str,
)
def test_what_is_impossible_is_left_out_with_its_line(
    run: RunFolder, change: dict[str, object], why: str
) -> None:
    before = len(told(run).events)
    number = nth_of(1, run.events, lambda values: values.update(change))
    story = told(run)
    (note,) = story.damage
    assert note.startswith(f"{run.events}:{number}: damaged, left out: ")
    assert why in note
    assert len(story.events) == before - 1


def test_a_missing_key_is_named(run: RunFolder) -> None:
    nth_of(1, run.events, lambda values: values.pop("at_ns"))
    assert "it has no at_ns" in told(run).damage[0]


def test_records_and_places_that_cannot_be_read(run: RunFolder) -> None:
    run.requests.write_bytes(b"\xff\n" + run.requests.read_bytes()[:-9])
    run.deadlock.write_text('{"places": [{"rank": "x"}]}')
    notes = told(run, 0).damage
    assert notes[0].startswith(f"{run.requests}:1: damaged")
    assert notes[1].startswith(f"{run.requests}:7: damaged, left out: it is cut off")
    assert notes[2].startswith(f"{run.deadlock}: damaged")


def test_of_many_damaged_lines_the_rest_is_counted(run: RunFolder) -> None:
    with run.events.open("ab") as file:
        file.write(b"what\n" * 200)
    assert len(told(run).damage) == 11
    assert told(run).damage[-1] == "190 more damaged lines"


def test_where_nothing_is_left_of_a_request_that_is_said_too(run: RunFolder) -> None:
    run.events.write_bytes(b"what\n")
    with pytest.raises(UsageError, match=r"no request 1; it has no requests\n.*jsonl:1: damaged"):
        read_stories(run, [1])


def _mangled(data: bytes, chance: random.Random) -> bytes:
    found = bytearray(data)
    match chance.randrange(4):
        case 0:
            for _ in range(chance.randrange(1, 100)):
                found[chance.randrange(len(found))] = chance.randrange(256)
        case 1:
            del found[chance.randrange(len(found)) :]
        case 2:
            at = chance.randrange(len(found))
            del found[at : at + chance.randrange(60)]
        case 3:
            at = data.find(b":", chance.randrange(len(data)))
            found[at + 1 : at + 2] = chance.choice(JUNK)
    return bytes(found)


@pytest.mark.parametrize("seed", range(60))
def test_no_damage_is_a_traceback(run: RunFolder, seed: int) -> None:
    chance = random.Random(seed)
    path = chance.choice([run.config, run.events, run.events, run.requests])
    path.write_bytes(_mangled(path.read_bytes(), chance))
    for look in (lambda: told(run), lambda: concerned(run), lambda: last_open(run, {1})):
        with suppress(UsageError):
            look()
