"""The campaign hunts until its count or its time is spent, and leaves a file for each find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adpkv.worlds.virtual.run import Simulation
from tests.fuzz.__main__ import TURNS, main
from tests.fuzz.hunters import HUNTERS

ARGV = ["--cores", "2", "--seed", "3"]


def test_it_ends_well_where_nothing_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finds = tmp_path / "finds"
    assert main([*ARGV, "--count", "5", "--finds", str(finds), "permuted"]) == 0
    assert "5 inputs (permuted 5)" in capsys.readouterr().out
    assert not finds.exists()


def test_it_ends_when_its_time_is_spent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGV, "--seconds", "0"]) == 0
    assert "0 inputs" in capsys.readouterr().out


def test_a_find_is_a_file_with_its_replay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*_: Any) -> None:
        raise KeyError("planted by a test")

    monkeypatch.setattr(Simulation, "run", run)
    assert main([*ARGV, "--count", "2", "--finds", str(tmp_path), "whole"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["whole-3.txt", "whole-4.txt"]
    replay, _, rest = (tmp_path / "whole-3.txt").read_text().partition("\n")
    assert replay == "replay: python -m tests.fuzz --replay whole 3"
    assert "planted by a test" in rest
    assert "topology:" in rest
    assert "2 finds" in capsys.readouterr().out
    assert main(["--replay", "whole", "3"]) == 1
    said = capsys.readouterr().out
    assert "planted by a test" in said
    assert "# the least of it" in said
    monkeypatch.undo()
    assert main(["--replay", "whole", "3"]) == 0


def test_every_hunter_has_its_turn() -> None:
    assert set(TURNS) == set(HUNTERS)
