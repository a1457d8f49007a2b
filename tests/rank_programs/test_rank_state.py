"""What each rank has of its own: modules, environment, arguments, generators."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import numpy as np

from adpkv.rank_programs.checking import Plan, check
from adpkv.rank_programs.session import Session, Settings
from adpkv.rank_programs.target import parse_target
from tests.rank_programs.conftest import Check


def test_modules_are_imported_once_for_each_rank(tmp_path: Path) -> None:
    """Also those that the program imports, a package among them, in each schedule anew."""
    package = tmp_path / "fleet"
    package.mkdir()
    (package / "__init__.py").write_text("from fleet import cache\n")
    (package / "cache.py").write_text("seen = []\n")
    (tmp_path / "counter.py").write_text("value = 0\n")
    (tmp_path / "main.py").write_text(
        "import json, counter\n"
        "from fleet import cache\n"
        "import importlib\n"
        "async def program(rank):\n"
        "    counter.value += 1\n"
        "    cache.seen.append(rank.rank)\n"
        "    await rank.barrier()\n"
        "    assert counter.value == 1, counter.value\n"
        "    assert cache.seen == [rank.rank], cache.seen\n"
        "    assert importlib.import_module('counter') is counter\n"
        "    import fleet.cache\n"
        "    assert fleet.cache is cache\n"
        "    found = await rank.tp_allgather(id(json))\n"
        "    assert len(set(found)) == 1, 'a library is shared'\n"
    )
    before = dict(sys.modules)
    with Session(parse_target(f"{tmp_path / 'main.py'}:program"), Settings(3)) as session:
        found = check(session, Plan(10))
    assert found.report is None, found.report
    assert {name for name in sys.modules if name not in before} & {"counter", "fleet"} == set()


def test_a_module_may_be_shared(tmp_path: Path) -> None:
    (tmp_path / "board.py").write_text("seen = []\n")
    (tmp_path / "main.py").write_text(
        "import board\n"
        "async def program(rank):\n"
        "    board.seen.append(rank.rank)\n"
        "    await rank.barrier()\n"
        "    assert len(board.seen) == 3, board.seen\n"
    )
    settings = Settings(3, shared=("board",))
    try:
        with Session(parse_target(f"{tmp_path / 'main.py'}:program"), settings) as session:
            assert check(session, Plan(1)).report is None
    finally:
        sys.modules.pop("board", None)


def test_environment_arguments_and_generators(checked: Check) -> None:
    environment, arguments = dict(os.environ), list(sys.argv)
    state, array = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[union-attr]
    found = checked(
        """
        import os, random, sys, time
        import numpy as np
        from random import randint
        async def program(rank):
            assert os.environ["RANK"] == os.environ["LOCAL_RANK"] == str(rank.rank)
            assert os.environ["WORLD_SIZE"] == "4"
            assert sys.argv[1:] == ["--size", "3"], sys.argv
            os.environ["MINE"] = str(rank.rank)
            sys.argv.append(str(rank.rank))
            random.seed(rank.rank)
            await rank.barrier()
            assert os.environ["MINE"] == sys.argv[3] == str(rank.rank)
            assert randint(0, 10**9) == random.Random(rank.rank).randint(0, 10**9)
            drawn = await rank.tp_allgather((random.random(), float(np.random.rand())))
            assert len(set(drawn)) == 4
            assert time.time() < 1_700_000_001
            print("seen")
        """,
        arguments=("--size", "3"),
    )
    assert found.report is None
    assert dict(os.environ) == environment
    assert sys.argv == arguments
    assert random.getstate() == state
    assert np.random.get_state()[1].tolist() == array  # type: ignore[union-attr]
    assert time.time() > 1_700_000_001


def test_generators_begin_the_same_in_each_schedule(checked: Check) -> None:
    """Otherwise a replay would be another run."""
    found = checked(
        """
        import random
        import pathlib
        async def program(rank):
            file = pathlib.Path(__file__).with_name(f"drawn{rank.rank}")
            drawn = str(random.random())
            await rank.barrier()
            if file.exists():
                assert file.read_text() == drawn
            file.write_text(drawn)
        """
    )
    assert found.report is None


def test_each_rank_has_a_working_directory_of_its_own(tmp_path: Path, checked: Check) -> None:
    (tmp_path / "below").mkdir()
    before = os.getcwd()
    found = checked(
        f"""
        import os
        os.chdir({str(tmp_path)!r})
        async def program(rank):
            await rank.barrier()
            if rank.rank:
                os.chdir("below")
            await rank.barrier()
            assert (os.path.basename(os.getcwd()) == "below") == bool(rank.rank)
        """
    )
    assert found.report is None
    assert os.getcwd() == before
