"""Programs for tests, written into files: a check imports them as a user's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from adpkv.rank_programs.checking import Checked, Plan, check
from adpkv.rank_programs.session import Session, Settings
from adpkv.rank_programs.target import parse_target

Check = Callable[..., Checked]


@pytest.fixture
def checked(tmp_path: Path) -> Check:
    """Writes a program into a file and checks its function `program`."""

    def perform(
        text: str, ranks: int = 4, schedules: int = 20, strategy: str = "random", **settings: object
    ) -> Checked:
        file = tmp_path / "worker.py"
        file.write_text(dedent(text))
        target = parse_target(f"{file}:program")
        with Session(target, Settings(ranks, **settings)) as session:  # type: ignore[arg-type]
            return check(session, Plan(schedules, strategy=strategy))

    return perform
