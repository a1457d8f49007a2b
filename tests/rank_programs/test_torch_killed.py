"""Ranks of torch.distributed that die: what the others get with Gloo and with NCCL."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make test-torch has it")

from adpkv.rank_programs.classify import Kind  # noqa: E402
from adpkv.rank_programs.killed import killed_values  # noqa: E402
from tests.rank_programs.conftest import Check  # noqa: E402

LOOP = """
import torch
import torch.distributed as dist
def program():
    dist.init_process_group("gloo")
    for _ in range(2):
        dist.all_reduce(torch.ones(2))
"""


def test_gloo_says_that_the_connection_was_closed(checked: Check) -> None:
    found = checked(LOOP, ranks=3, schedules=60, kills=1)
    assert found.report is None
    values = killed_values(found.killed)
    assert values["ended_with_the_error"] > 30
    assert values["aborted"] == 0
    handled = LOOP.replace(
        "        dist.all_reduce(torch.ones(2))",
        "        try:\n"
        "            dist.all_reduce(torch.ones(2))\n"
        "        except RuntimeError as error:\n"
        "            assert 'Connection closed by peer' in str(error)\n"
        "            return",
    )
    found = checked(handled, ranks=3, schedules=60, kills=1)
    assert found.report is None
    at = {place["line"]: place for place in killed_values(found.killed)["places"]}
    assert at[8]["handled"] > 30
    assert at[8]["ended_with_the_error"] == 0


def test_nccl_waits_until_its_timeout_and_ends_the_process(checked: Check) -> None:
    found = checked(LOOP.replace("gloo", "nccl"), ranks=3, schedules=60, kills=1)
    assert found.report is None
    values = killed_values(found.killed)
    assert values["aborted"] > 30
    assert values["longest_s"] == pytest.approx(600, abs=1)
    shorter = LOOP.replace('"gloo"', '"nccl", timeout=timedelta(seconds=9)')
    shorter = "from datetime import timedelta\n" + shorter
    found = checked(shorter, ranks=3, schedules=60, kills=1)
    assert killed_values(found.killed)["longest_s"] == pytest.approx(9, abs=1)


def test_survivors_that_wait_for_each_other_are_found(checked: Check) -> None:
    text = LOOP.replace(
        "        dist.all_reduce(torch.ones(2))",
        "        try:\n"
        "            dist.all_reduce(torch.ones(2))\n"
        "        except RuntimeError:\n"
        "            if dist.get_rank() == 0:\n"
        "                return\n"
        "            dist.recv(torch.ones(1), 0)",
    )
    report = checked(text, ranks=3, schedules=200, kills=1).report
    assert report is not None
    assert report.diagnosis.kind is Kind.MISSING_MESSAGE
    assert "was killed" in report.diagnosis.sentence
    assert "waits in recv from rank 0" in report.diagnosis.sentence


def test_survivors_make_a_new_world(checked: Check) -> None:
    """They destroy the old group, count who is left, and initialise again."""
    found = checked(
        """
        import torch
        import torch.distributed as dist
        def program(rank):
            dist.init_process_group("gloo")
            store = dist.distributed_c10d._get_default_store()
            try:
                dist.barrier()
                dist.barrier()
                return
            except RuntimeError:
                number = 1 - (store.add("left", 1) - 1)
            dist.destroy_process_group()
            dist.init_process_group("gloo", rank=number, world_size=2)
            assert dist.get_rank() == number
            found = torch.full((2,), float(number))
            dist.broadcast(found, 1)
            assert found[0] == 1
            dist.destroy_process_group()
        """,
        ranks=3,
        schedules=100,
        kills=1,
    )
    # Those of the first barrier do. Of the last one a survivor may have the result, and return.
    assert found.report is not None
    assert found.report.diagnosis.kind is Kind.EARLY_EXIT
    assert "waits in init_process_group #1" in found.report.diagnosis.sentence
    assert {place["line"]: place["handled"] for place in killed_values(found.killed)["places"]}[8]
