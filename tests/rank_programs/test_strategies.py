"""Where schedules come from: all interleavings, guided ones, and how a find is made small."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adpkv.cli.app import app
from adpkv.errors import UsageError
from adpkv.exit_codes import ExitCode
from adpkv.rank_programs.checking import Checked, Plan, check
from adpkv.rank_programs.session import Session, Settings
from adpkv.rank_programs.shrinking import with_fewer_ranks
from adpkv.rank_programs.summary import CUT_SHORT
from adpkv.rank_programs.target import parse_target
from adpkv.rank_programs.walking import Walked, walk
from adpkv.rank_programs.world import World
from tests.rank_programs.conftest import Check
from tests.rank_programs.test_killed_ranks import AGREED
from tests.rank_programs.test_own_ranks import EARLY_RETURN, RACE

COLLECTIVES = """
async def program(rank):
    for number in range(2):
        await rank.tp_allgather(number)
"""

ANY = """
async def program(rank):
    if rank.rank == 0:
        found = [await rank.recv(), await rank.recv()]
    else:
        await rank.send(rank.rank, 0)
    await rank.barrier()
"""

KNOWN_SENDERS = ANY.replace("recv()", "recv(1)", 1).replace("recv()", "recv(2)")

CLOCK = """
async def program(rank):
    before = rank.clock
    await rank.barrier()
"""

FAILING_SENDER = """
from adpkv.errors import RankLostError
async def program(rank):
    try:
        if rank.rank == 0:
            await rank.recv()
        else:
            await rank.send(rank.rank, 0)
    except RankLostError:
        await rank.shrink()
"""


def walked(
    folder: Path, text: str, ranks: int, kills: int = 0, *, reduced: bool
) -> tuple[Walked, set[str]]:
    """What was walked, and how its paths ended: what each rank did, and how it ended."""
    file, ends = folder / "worker.py", set()
    file.write_text(text)

    def ended(world: World) -> None:
        each = [(rank.ended, [a.operation for a in rank.history]) for rank in world.ranks]
        got = sorted(map(str, (world.failure, [d.rank for d in world.killed])))
        ends.add(repr((each, got)))

    with Session(parse_target(f"{file}:program"), Settings(ranks, kills=kills)) as session:
        found, failed = walk(
            session,
            lambda world: None,
            most=10**6,
            until_s=time.monotonic() + 60,
            reduced=reduced,
            ended=ended,
        )
    assert failed is None
    assert found.complete
    return found, ends


@pytest.mark.parametrize(
    ("text", "ranks", "kills", "paths"),
    [
        (COLLECTIVES, 2, 0, 1),
        (KNOWN_SENDERS.replace("    await rank.barrier()\n", ""), 3, 0, 1),
        (ANY.replace("    await rank.barrier()\n", ""), 3, 0, 8),
        (CLOCK, 2, 0, 6),
        (COLLECTIVES, 2, 1, 13),
        (AGREED.replace("< 3", "< 1"), 2, 1, 11),
        (FAILING_SENDER, 2, 1, 20),
    ],
)
def test_what_is_left_out_makes_no_difference(
    tmp_path: Path, text: str, ranks: int, kills: int, paths: int
) -> None:
    few, ends = walked(tmp_path, text, ranks, kills, reduced=True)
    many, all_ends = walked(tmp_path, text, ranks, kills, reduced=False)
    assert ends == all_ends
    assert few.ends == many.ends
    assert few.paths == paths
    assert few.paths + few.cut_off <= many.paths
    assert many.cut_off == many.independent == 0


def test_the_order_of_messages_is_walked(tmp_path: Path) -> None:
    found, _ = walked(tmp_path, ANY, 3, reduced=True)
    assert found.ends == 2
    assert found.cut_off > 0
    assert found.independent > 0


def call(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["check", *arguments])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "race.py").write_text(RACE)
    (tmp_path / "any.py").write_text(ANY)
    (tmp_path / "over_mpi.py").write_text(
        "from mpi4py import MPI\ndef program():\n    MPI.COMM_WORLD.barrier()\n"
    )
    return tmp_path


@pytest.mark.usefixtures("here")
def test_a_walk_says_what_it_walked() -> None:
    words = ["any.py:program", "-n", "4", "--strategy", "exhaustive", "--allow", "unreceived"]
    code, out, _ = call(*words, "--json")
    values = json.loads(out)
    assert code == 0
    assert values["walk"]["complete"]
    assert values["walk"]["different_ends"] == 6
    code, _, err = call(*words)
    assert "all interleavings were walked" in err
    assert "6 different ends" in err
    code, _, err = call(*words, "--schedules", "3")
    assert code == ExitCode.INCOMPLETE
    assert "not all interleavings were walked: there was no time" in err
    code, out, err = call(*words, "--schedules", "3", "--quiet")
    assert (code, out) == (ExitCode.INCOMPLETE, "")
    assert err == f"adpkv: {CUT_SHORT}\n"
    code, out, _ = call("race.py:program", "-n", "3", "--strategy", "exhaustive")
    assert code == ExitCode.VIOLATION
    assert "AssertionError: 2 came before 1" in out


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["any.py:program", "--strategy", "guided:2"], "is not known here"),
        (["over_mpi.py:program", "--strategy", "exhaustive"], "programs over our rank API"),
    ],
)
def test_a_wrong_strategy(words: list[str], told: str) -> None:
    done = CliRunner().invoke(app, ["check", *words])
    assert isinstance(done.exception, UsageError)
    assert told in str(done.exception)


DEEP = """
async def program(rank):
    if rank.rank == 0:
        for number in range(6):
            got = await rank.recv()
            if got != (1 if number % 2 else 2):
                return await rank.barrier()
        raise AssertionError("six in this order")
    for _ in range(6):
        await rank.send(rank.rank, 0)
    await rank.barrier()
"""


def found_after(folder: Path, strategy: str, schedules: int) -> list[int]:
    """After how many schedules each of five seeds finds it."""
    file = folder / "deep.py"
    file.write_text(DEEP)
    counts = []
    for seed in range(5):
        with Session(parse_target(f"{file}:program"), Settings(3)) as session:
            found = check(session, Plan(schedules, strategy=strategy, seed=seed))
        counts.append(found.schedules if found.report is not None else schedules)
    return counts


def test_guided_builds_on_what_was_new(tmp_path: Path) -> None:
    """And makes the same schedules again with the same seed."""
    once = found_after(tmp_path, "guided", 400)
    assert once == found_after(tmp_path, "guided", 400)
    assert min(once) < 400


# -- small ---------------------------------------------------------------------------------------


def both(folder: Path, text: str, ranks: int) -> tuple[Checked, object]:
    file = folder / "worker.py"
    file.write_text(text)
    with Session(parse_target(f"{file}:program"), Settings(ranks)) as session:
        found = check(session, Plan(200))
    assert found.report is not None
    return found, with_fewer_ranks(session, found.report)


def test_a_find_is_looked_for_with_fewer_ranks(tmp_path: Path) -> None:
    found, smaller = both(tmp_path, EARLY_RETURN, 6)
    assert found.report is not None
    assert smaller is not None
    assert getattr(smaller, "ranks") == 3  # noqa: B009
    assert "-n 3 --replay" in getattr(smaller, "replay")  # noqa: B009
    needs_all = EARLY_RETURN.replace("rank.rank == 2", "rank.rank == 5")
    assert both(tmp_path, needs_all, 6)[1] is None


def test_a_find_has_few_context_switches(checked: Check) -> None:
    """Long programs whose ranks race in one place: all else is as in the plain schedule."""
    barriers = "    await rank.barrier()\n" * 10
    text = RACE.replace("(rank):\n", f"(rank):\n{barriers}")
    found = checked(text, ranks=3, schedules=200)
    assert found.report is not None
    assert found.report.choices <= 2
    assert found.report.evidence.switches <= 36
