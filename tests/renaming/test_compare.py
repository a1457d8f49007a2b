"""The comparison of two checkouts finds what differs, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.renaming.compare import Renames, compare, different_runs, main

ROOT = Path(__file__).resolve().parents[2]
RENAMES = Renames(
    events={"buried": "failed_rank"},
    keys={"life": "attempt"},
    values={"cause": {"news": "inbox_age"}},
    texts={"no meeting": "no collective"},
)
OLD = (
    b'{"at_ns":1,"rank":0,"kind":"buried","request":-1,"life":2,"cause":"news"}\n'
    b'{"at_ns":2,"rank":0,"kind":"posted","request":1,"detail":"in no meeting"}\n'
)
NEW = (
    b'{"at_ns":1,"rank":0,"kind":"failed_rank","request":-1,"attempt":2,"cause":"inbox_age"}\n'
    b'{"at_ns":2,"rank":0,"kind":"posted","request":1,"detail":"in no collective"}\n'
)


def differences(folder: Path, old: bytes, new: bytes) -> list[str]:
    for side, text in (("old", old), ("new", new)):
        (folder / side).mkdir()
        (folder / side / "events.jsonl").write_bytes(text)
    return list(different_runs(folder / "old", folder / "new", RENAMES))


def test_what_was_renamed_is_no_difference(tmp_path: Path) -> None:
    assert differences(tmp_path, OLD, NEW) == []


@pytest.mark.parametrize(
    ("planted", "number"),
    [
        (NEW.replace(b'"at_ns":2', b'"at_ns":3'), 2),
        (NEW.replace(b'"attempt"', b'"life"'), 1),
        (NEW.replace(b'"kind":"failed_rank"', b'"kind":"buried"'), 1),
        (NEW.splitlines(keepends=True)[0], 2),
        (NEW + NEW, 3),
        (NEW.replace(b'"rank":0,"kind"', b'"kind":"x","rank"', 1), 1),
    ],
)
def test_a_planted_difference_is_named_with_its_line(
    tmp_path: Path, planted: bytes, number: int
) -> None:
    found = differences(tmp_path, OLD, planted)
    assert found
    assert found[0].startswith(f"events.jsonl line {number}\n")


def test_a_name_that_was_not_changed_where_it_should_be_is_a_difference(tmp_path: Path) -> None:
    assert len(differences(tmp_path, OLD, OLD)) == 2


def test_a_file_that_only_one_has_is_a_difference(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "requests.jsonl").touch()
    found = list(different_runs(tmp_path / "old", tmp_path / "new", RENAMES))
    assert found == ["requests.jsonl: only one of the two is there"]


def test_a_checkout_beside_itself_has_no_difference(tmp_path: Path) -> None:
    """And the runs are compared for real: a rename that nobody made shows."""
    run = ROOT, ROOT, "configs/regressions/08-late-write.yaml"
    assert compare(*run, Renames(), tmp_path / "same") == []
    assert compare(*run, Renames(events={"posted": "sent"}), tmp_path / "planted")


def test_a_map_with_an_unknown_part_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "map.yaml").write_text("event: {}\n")
    assert main([str(ROOT), str(ROOT), "--map", str(tmp_path / "map.yaml")]) == 2
    assert "unknown field `event`" in capsys.readouterr().err
