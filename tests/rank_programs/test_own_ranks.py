"""Programs over our own rank API: what is found, and how it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from adpkv.errors import TargetError
from adpkv.rank_programs.checking import Plan, check, replay
from adpkv.rank_programs.choices import from_token
from adpkv.rank_programs.classify import Kind
from adpkv.rank_programs.failure import What
from adpkv.rank_programs.report import Report
from adpkv.rank_programs.report_text import render
from adpkv.rank_programs.report_values import as_values
from adpkv.rank_programs.session import Session, Settings
from adpkv.rank_programs.target import parse_target
from tests.rank_programs.conftest import Check

EARLY_RETURN = """
async def step(rank, num_tokens):
    if num_tokens == 0:
        return
    await rank.tp_gather(num_tokens)

async def program(rank):
    for number in range(6):
        tokens = 0 if rank.rank == 2 and number == 3 else 4
        await step(rank, tokens)
"""


def failed(found: object) -> Report:
    report = getattr(found, "report")  # noqa: B009
    assert isinstance(report, Report)
    return report


def test_ranks_that_agree_end_well(checked: Check) -> None:
    found = checked(
        """
        async def program(rank):
            for _ in range(3):
                found = await rank.tp_allgather(rank.rank)
                assert found == list(range(rank.world_size))
                assert await rank.tp_broadcast(rank.rank, root=1) == 1
                gathered = await rank.tp_gather(rank.rank, root=2)
                assert (gathered is None) == (rank.rank != 2)
        """,
        schedules=50,
    )
    assert found.report is None
    assert found.schedules == 50
    assert found.operations == 4 * 9


def test_a_skipped_pass_is_found_where_it_was_skipped(checked: Check) -> None:
    """vllm-project/vllm #43547: the ranks get stuck in the last collective, and parted before the
    fourth."""
    report = failed(checked(EARLY_RETURN))
    diagnosis, why = report.diagnosis, report.why
    assert diagnosis.kind is Kind.EARLY_EXIT
    assert (diagnosis.odd, diagnosis.others, diagnosis.position) == ((2,), (0, 1, 3), 6)
    assert why is not None
    assert why.parted == 4
    assert (why.line, why.function, why.odd_next, why.others_next) == (3, "step", 4, 5)
    assert why.variables == (("num_tokens", {0: "4", 1: "4", 2: "0", 3: "4"}),)


def test_the_report_quotes_the_program(checked: Check) -> None:
    text = render(failed(checked(EARLY_RETURN)), None)
    for told in (
        "deadlock: early exit",
        "rank 2 never came: its program has returned",
        "they parted before position 4",
        "if num_tokens == 0:",
        "rank 2 went on to line 4: return",
        "ranks 0, 1, 3 went on to line 5: await rank.tp_gather(num_tokens)",
        "the group: 5 on rank 2; 6 on ranks 0, 1, 3",
    ):
        assert told in text
    narrow = render(failed(checked(EARLY_RETURN)), 60)
    lines = [line for line in narrow.splitlines() if not line.startswith("replay")]
    prose = [line for line in lines if " " in line.strip()]  # a path alone stands whole
    assert max(map(len, prose)) <= 60


def test_the_report_as_values(checked: Check) -> None:
    values = as_values(failed(checked(EARLY_RETURN)))
    assert values["error"] == "deadlock"
    assert values["kind"] == "early exit"
    assert values["parted_position"] == 4
    assert values["why"]["source"] == "if num_tokens == 0:"
    assert values["why"]["variables"][0]["values"]["2"] == "0"
    (waiting,) = (rank for rank in values["ranks"] if rank["rank"] == 3)
    assert waiting["state"] == "waits"
    assert waiting["stack"][-1]["source"] == "await rank.tp_gather(num_tokens)"
    assert waiting["positions"] == {"the group": 6}


def test_a_skip_in_the_loop_itself_is_found_too(checked: Check) -> None:
    report = failed(
        checked(
            """
            async def program(rank):
                for number in range(6):
                    queued = 0 if rank.rank == 1 and number == 2 else 3
                    if queued:
                        await rank.tp_gather(queued)
            """
        )
    )
    assert report.why is not None
    assert report.why.parted == 3
    assert report.why.variables[0] == ("queued", {0: "3", 1: "0", 2: "3", 3: "3"})


def test_lines_that_belong_together_are_no_parting(checked: Check) -> None:
    """Root and members call the same broadcast from different lines; the skip comes later."""
    report = failed(
        checked(
            """
            async def program(rank):
                for number in range(5):
                    if rank.rank == 0:
                        await rank.tp_broadcast(number)
                    else:
                        await rank.tp_broadcast()
                    if rank.rank == 0 and number == 3:
                        continue
                    await rank.tp_allgather(number)
            """,
            ranks=3,
        )
    )
    assert report.diagnosis.kind is Kind.WRONG_OPERATION
    assert report.diagnosis.odd == (0,)
    assert report.why is not None
    assert report.why.parted == 8
    assert report.why.line == 8


def test_operations_that_differ(checked: Check) -> None:
    report = failed(
        checked(
            """
            async def program(rank):
                await rank.tp_broadcast(1, root=rank.rank // 2)
            """,
            ranks=3,
        )
    )
    assert report.diagnosis.kind is Kind.ARGUMENT_MISMATCH
    assert report.diagnosis.odd == (2,)
    assert "rank 2 brings tp_broadcast (root 1)" in report.diagnosis.sentence
    assert "ranks 0, 1 bring tp_broadcast (root 0)" in report.diagnosis.sentence


def test_a_message_that_nobody_sends(checked: Check) -> None:
    report = failed(
        checked(
            """
            async def program(rank):
                if rank.rank == 1:
                    await rank.recv(0)
            """,
            ranks=2,
        )
    )
    assert report.diagnosis.kind is Kind.MISSING_MESSAGE
    assert "rank 1 waits in recv from rank 0" in report.diagnosis.sentence


RACE = """
async def program(rank):
    if rank.rank == 0:
        first = await rank.recv()
        second = await rank.recv()
        assert first < second, f"{first} came before {second}"
    else:
        await rank.send(rank.rank, 0)
"""


def test_a_race_is_found_made_simple_and_replayed(checked: Check, tmp_path: Path) -> None:
    report = failed(checked(RACE, ranks=3, schedules=200))
    assert report.evidence.failure.what is What.EXCEPTION
    assert report.choices == 1
    assert report.diagnosis.odd == (0,)
    with Session(parse_target(f"{tmp_path / 'worker.py'}:program"), Settings(3)) as session:
        again = failed(replay(session, from_token(report.token)))
        assert replay(session, []).report is None
    assert again.evidence == report.evidence


@pytest.mark.parametrize("strategy", ["random", "pct:2"])
def test_the_same_seed_makes_the_same_schedules(tmp_path: Path, strategy: str) -> None:
    file = tmp_path / "worker.py"
    file.write_text(RACE)
    found = []
    for _ in range(2):
        with Session(parse_target(f"{file}:program"), Settings(3)) as session:
            found.append(failed(check(session, Plan(300, strategy=strategy, seed=5))))
    assert found[0].schedules == found[1].schedules > 1
    assert found[0].token == found[1].token


def test_an_exception_has_the_traceback_of_its_rank(checked: Check) -> None:
    report = failed(
        checked(
            """
            async def program(rank):
                table = {} if rank.rank == 1 else {"a": 1}
                await rank.barrier()
                found = table["a"]
                await rank.barrier()
            """
        )
    )
    assert report.diagnosis.sentence == "rank 1 raised KeyError: 'a'"
    text = render(report, None)
    assert 'found = table["a"]' in text
    assert "ranks 0, 2, 3  wait in barrier #2" in text
    assert report.why is not None
    assert report.why.variables[0][0] == "table"


def test_a_program_that_asks_and_asks_is_stopped(checked: Check) -> None:
    report = failed(
        checked(
            """
            import time
            async def program(rank):
                await rank.barrier()
                while time.time() > 0:
                    pass
            """
        )
    )
    assert report.evidence.failure.what is What.SPIN
    assert "10,000 polls" in report.diagnosis.sentence
    assert "runs, after barrier #1" in render(report, None)
    assert "while time.time() > 0:" in render(report, None)


def test_a_program_that_computes_for_ever_is_stopped(checked: Check) -> None:
    report = failed(
        checked(
            """
            async def program(rank):
                await rank.barrier()
                while rank.rank == 1:
                    pass
            """,
            most_seconds=0.3,
        )
    )
    assert report.evidence.failure.what is What.HANG
    assert report.diagnosis.odd == (1,)


def test_virtual_time_costs_none(checked: Check) -> None:
    found = checked(
        """
        import time
        async def program(rank):
            before = time.monotonic()
            await rank.sleep(3600 * (1 + rank.rank))
            assert 3600 <= time.monotonic() - before < 4 * 3600 + 1
            await rank.barrier()
            assert rank.clock >= 4 * 3600
        """
    )
    assert found.report is None


def test_what_leaves_the_model_is_refused_where_it_is_called(checked: Check) -> None:
    program = """
        import subprocess
        async def program(rank):
            await rank.barrier()
            if rank.rank == 2:
                subprocess.run(["true"])
        """
    report = failed(checked(program))
    assert report.evidence.failure.what is What.REFUSED
    assert "--allow process" in report.diagnosis.sentence
    assert 'subprocess.run(["true"])' in render(report, None)
    assert checked(program, schedules=1, allowed=frozenset({"process"})).report is None


@pytest.mark.parametrize("call", ["socket.create_connection(('127.0.0.1', 1))", "os.fork()",
                                  "os._exit(0)",
                                  "threading.Thread(target=print).start()"])  # fmt: skip
def test_sockets_processes_and_threads_are_refused(checked: Check, call: str) -> None:
    report = failed(
        checked(
            f"""
            import os, socket, threading
            async def program(rank):
                await rank.barrier()
                {call}
            """
        )
    )
    assert report.evidence.failure.what is What.REFUSED


def test_zeromq_is_refused(checked: Check) -> None:
    pytest.importorskip("zmq", reason="pyzmq is not installed")
    text = """
        import zmq
        async def program(rank):
            await rank.barrier()
            zmq.Context.instance().socket(zmq.PUB)
        """
    report = failed(checked(text))
    assert report.evidence.failure.what is What.REFUSED
    assert "--allow zmq" in report.diagnosis.sentence
    assert "zmq.Context.instance().socket(zmq.PUB)" in render(report, None)
    assert checked(text, schedules=2, allowed=frozenset({"zmq"})).report is None


def test_a_program_that_never_meets(checked: Check) -> None:
    with pytest.raises(TargetError, match="its ranks never meet"):
        checked("async def program(rank):\n    pass\n")


def test_a_program_that_awaits_something_else(checked: Check) -> None:
    report = failed(
        checked(
            """
            import asyncio
            async def program(rank):
                await rank.barrier()
                await asyncio.sleep(0)
                await asyncio.get_running_loop().create_future()
            """
        )
    )
    assert report.evidence.failure.what is What.EXCEPTION


def test_an_exit_with_0_is_an_early_exit(checked: Check) -> None:
    report = failed(
        checked(
            """
            import sys
            async def program(rank):
                await rank.barrier()
                if rank.rank == 1:
                    sys.exit(0)
                await rank.barrier()
            """
        )
    )
    assert report.diagnosis.kind is Kind.EARLY_EXIT
    assert report.diagnosis.odd == (1,)


def test_a_message_to_what_is_no_rank(checked: Check) -> None:
    text = "async def program(rank):\n    await rank.barrier()\n    await rank.send(0, 'hello')\n"
    sentence = failed(checked(text)).diagnosis.sentence
    assert "TypeError: a rank is a number, not 'hello': send(value, to)" in sentence
