"""What a rank program awaits, performed by real processes, over MPI and over shared memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real_ranks.conftest import outlives_or_skip

PROMISES = (
    "results",
    "much_more",
    "said_again",
    "one_speaks",
    "step",
    "counted",
    "has_input",
    "smallest_limit",
)
"""Cases that end well, so that one job has them all."""


CAMPAIGN = pytest.mark.campaign


def over(*here: str) -> pytest.MarkDecorator:
    """What carries them: these, and the other in the campaign."""
    return pytest.mark.parametrize(
        "over",
        [
            pytest.param(one, id=f"over_{one}", marks=() if one in here else CAMPAIGN)
            for one in ("mpi", "shared_memory")
        ],
    )


@pytest.mark.parametrize(
    ("over", "ranks"),
    [
        ("mpi", 8),
        ("shared_memory", 4),
        pytest.param("mpi", 4, marks=CAMPAIGN),
        pytest.param("shared_memory", 8, marks=CAMPAIGN),
    ],
)
def test_collectives_give_what_they_promise(program, over: str, ranks: int) -> None:
    found = program("collectives", ranks, over, *PROMISES)
    assert found.code == 0, found.err
    assert found.out.splitlines() == [f"passed {case}" for case in PROMISES]


@over("mpi", "shared_memory")
def test_a_rank_in_another_collective_is_seen_at_once_and_both_sides_are_named(
    program, over: str
) -> None:
    found = program("collectives", 8, over, "kind_differs")
    assert found.code == 3
    assert found.err.count("ranks of one group are in different collectives") == 1
    assert "ranks 0, 2, 3: tp_allgather at sync (group 7, epoch 0, iteration 5" in found.err
    assert "rank 1: tp_gather at" in found.err
    assert "Traceback" not in found.err


@pytest.mark.shared_memory
def test_a_rank_in_another_collective_is_seen_although_a_third_never_comes(program) -> None:
    """MPI cannot: there the others wait for the third. Both groups stand alike: either may say so
    first."""
    found = program("collectives", 8, "shared_memory", "third_absent")
    assert found.code == 3
    first = 0 if "ranks 0, 3: " in found.err else 4
    assert f"ranks {first}, {first + 3}: tp_allgather at sync (group 7" in found.err
    assert f"rank {first + 1}: tp_allgather at respond (group 7" in found.err
    assert f"rank {first + 2}: not there yet" in found.err
    assert "Traceback" not in found.err


@over("mpi")
def test_ranks_that_agreed_on_different_plans_are_seen(program, over: str) -> None:
    found = program("collectives", 4, over, "plan_differs")
    assert found.code == 3
    sides = [line for line in found.err.splitlines() if "tp_gather at flush" in line]
    assert len({line.rpartition("plan ")[2] for line in sides}) == 2


@over("shared_memory")
def test_a_rank_that_stepped_while_the_others_waited_is_seen(program, over: str) -> None:
    found = program("collectives", 4, over, "waits_elsewhere")
    assert found.code == 3
    assert "rank 1: step at" in found.err
    assert "rank 0: tp_broadcast at intake" in found.err


@over("shared_memory")
def test_a_failure_of_one_rank_ends_the_job_and_names_the_rank(program, over: str) -> None:
    found = program("collectives", 8, over, "one_fails")
    assert found.code == 70
    assert "adpkv: rank 2 failed: RuntimeError: a planted failure" in found.err


def test_a_payload_beyond_the_limit_is_refused(program) -> None:
    found = program("collectives", 2, "auto", "too_much")
    assert found.code == 70
    assert "at most 16777216 can travel" in found.err


@over("shared_memory")
def test_mpi_keeps_the_core_where_nobody_waits_in_it(program, tmp_path: Path, over: str) -> None:
    """On a host with too few cores a rank would lose its turn in the middle of its own work."""
    outlives_or_skip()
    program("yielding", 4, str(tmp_path), over, outlives=True)
    for rank in range(3):
        notes = (tmp_path / f"rank-{rank}").read_text().splitlines()
        polls = over == "shared_memory"
        assert notes == [
            "start True",
            f"program {not polls}",
            "recovery True",
            f"program {not polls}",
            "end True",
        ]
