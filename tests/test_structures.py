"""No field of a structure that is made by place changes its place unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

import adpkv
from tests.structures import ON_PURPOSE, Made, made_by_place, misplaced, read, wrong

ORDERS: dict[str, str] = {
    "bench.figure.Figure": "name value unit reference reference_name ratio target met note",
    "core.plan.Plan": (
        "assignments cancels refusals waiting passed expired agreed forward stop ending "
        "released leave rank_failure deferred"
    ),
    "core.rank_status.RankStatus": (
        "work able tokens requests running blocks seats slots peers turn in_transfer "
        "quarantined reasons stop drained overdue expired votes cached trust owed illness "
        "closing reused doubted"
    ),
    "core.record.RequestRecord": (
        "request_id arrival_ns prompt_tokens output_tokens outcome detail context_instance "
        "context_rank generation_instance generation_rank first_token_ns ended_ns "
        "coordinator_queue_ns context_queue_ns prefill_ns hand_over_ns block_wait_ns "
        "slot_wait_ns peer_slot_wait_ns kv_transfer_ns decode_queue_ns decode_ns "
        "lost_attempts_ns tokens cancelled_ns responses recomputed retry_of client_id"
    ),
    "core.report.BlockCounts": "total free cached active in_transfer quarantined leaked",
    "core.sample.RankSample": (
        "at_ns rank free cached active in_transfer quarantined requests running transfers "
        "doubtful healthy steps step_ns own_ns tokens"
    ),
    "diagnosis.why.Difference": "name outliers others clear",
    "executor.collectives.Step": (
        "group kind site iteration plan base slope most until_ns run quiet_status batch "
        "computes tokens waited work"
    ),
    "executor.collectives.Wait": "group kind site iteration plan limit_ns until_ns quiet_status",
    "executor.messages.Unpacked": "request_id attempt chunks",
    "exploration.batch.BatchResult": (
        "number first last events finds counts facts twice differed wall_s made resident_kib "
        "broken_off"
    ),
    "exploration.batch.Task": "number experiment strategy depth first last most_finds most_s",
    "exploration.campaign.Plan": "name experiment strategy depth first last batch",
    "flight_recorder.job_directory.JobInfo": (
        "job owner_pid folder host size ranks experiment argv instances"
    ),
    "sweeps.folder._Head": "adpkv world keep experiment",
    "traces.row.Row": (
        "at_ns prompt_tokens output_tokens hash_ids key parent think_ns answer_ns cancel_ns adds "
        "fault"
    ),
    "transport.port.Transfer": (
        "request_id attempt sender receiver tag source target nbytes source_slot target_slot"
    ),
    "workload.port.Arrival": (
        "at_ns prompt_tokens output_tokens block_hashes cancel_ns wanted stops_after "
        "deadline_ns client_id"
    ),
    "worlds.mpi.recovery.positions.RankPosition": "rank next messages coordinator",
}
"""The order of the fields of those in which two of the same type could change places, as no name at
a call would tell. Who changes one here has looked at each call that makes it by place."""


@pytest.fixture(scope="module")
def made() -> Made:
    return made_by_place(Path(adpkv.__file__).parent)


def orders_of(made: Made) -> dict[str, str]:
    orders = {key: " ".join(structure.fields) for key, (structure, _) in made.items()}
    return {".".join(key).removeprefix("adpkv."): order for key, order in orders.items()}


def test_arguments_stand_at_the_places_of_their_fields(made: Made) -> None:
    assert len(made) > 80
    found = [text for structure, calls in made.values() for text in wrong(structure, calls)]
    assert found == []


def test_each_exception_is_still_needed(made: Made) -> None:
    found = [misplaced(structure, calls) for structure, calls in made.values()]
    assert set().union(*found) == ON_PURPOSE


def test_an_exception_is_one_of_its_module() -> None:
    text = "import msgspec\nclass Plan(msgspec.Struct):\n    name: str\n    strategy: str\n"
    for module in ("adpkv.exploration.campaign", "adpkv.core.plan"):
        [(structure, calls)] = read({module: f"{text}Plan(one, name)"}).values()
        right = module == "adpkv.exploration.campaign"
        assert wrong(structure, calls) == (
            [] if right else [f"{module}:5: Plan: name at the place of strategy"]
        )


def test_the_order_of_fields_that_no_name_shows(made: Made) -> None:
    orders = orders_of(made)
    assert {name: orders.get(name) for name in ORDERS} == ORDERS


def test_each_exchange_of_two_fields_would_be_noticed(made: Made) -> None:
    """Planted one by one; whose type differs is mypy's to see. And no order stands above that the
    names at calls show anyway."""
    unnoticed = {}
    for key, (structure, calls) in made.items():
        pairs = [pair for pair in structure.alike() if not wrong(structure.exchanged(*pair), calls)]
        most = max(len(call.arguments) for call in calls)
        by_place = set(structure.fields[:most])
        pairs = [pair for pair in pairs if by_place & set(pair)]
        if pairs:
            unnoticed[key] = made[key]
    assert orders_of(unnoticed) == ORDERS


STATUS = """
import msgspec
class Base(msgspec.Struct):
    rank: int
class Status(Base):
    work: bool
    tokens: int = 0
    blocks: int = 0
"""


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("Status(rank, work, tokens, blocks)", None),
        ("Status(self.rank, is_busy, self._tokens)", None),
        ("Status(rank, work, *more)", None),
        ("Status(rank, **more)", None),
        ("status.Status(rank, True, blocks=3)", None),
        ("Status(rank, work, blocks, 0)", "blocks at the place of tokens"),
        ("Status(self.rank, work, self._blocks)", "_blocks at the place of tokens"),
        ("status.Status(work, True)", "work at the place of rank"),
        ("Again(work, True)", "work at the place of rank"),
        ("Status(1, True, 2, 3, 4)", "5 arguments for 4 fields"),
        ("Status(1, True, work=True)", "work by place and by keyword"),
        ("Status(rank)", "without work"),
        ("Status(rank, blocks=1)", "without work"),
    ],
)
def test_what_is_wrong_is_found(call: str, said: str | None) -> None:
    uses = f"from a import status\nfrom a.status import Status\nfrom a.b import Again\nx = {call}"
    reexported = "from a.status import Status as Again"
    sources = {"a.status": STATUS, "a.b": reexported, "a.c": uses}
    [(structure, calls)] = read(sources).values()
    found = wrong(structure, calls)
    assert found == ([] if said is None else [f"a.c:4: Status: {said}"])
