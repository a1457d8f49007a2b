"""A model that computes: what it does for which batch, in which order, and what it costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from adpkv.core.step_cost import Costs
from adpkv.memory.host import HostMemory
from adpkv.model.cost import CostModel
from adpkv.model.gemm import MOST_ROWS, GemmModel, HostCompute, Shape, attended
from adpkv.model.port import Batch
from adpkv.testing.model import BODIES

COSTS = Costs(5_000_000, 20_000, 3, 100_000, 2)
TAKES_TIME = {"a_real_step_takes_what_its_line_says"}
"""The one body that does not concern a model that computes: it takes what it takes."""


class Noted:
    """What a model asks for, instead of computing; also the other ranks of its group."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def read(self, nbytes: int) -> None:
        self.asked.append(("read", nbytes))

    def multiply(self, tokens: int) -> None:
        self.asked.append(("multiply", tokens))

    def finish(self) -> None:
        self.asked.append("finish")

    def dispatch(self, tokens: int) -> int:
        self.asked.append(("dispatch", tokens))
        return 70

    def combine(self) -> None:
        self.asked.append("combine")


class Rig:
    def __init__(self) -> None:
        self.slept: list[float] = []
        self.scale = 1.0
        self.model = GemmModel(CostModel(COSTS, 1.0, self.slept.append), Noted(), 8, None)


@pytest.mark.parametrize("body", sorted(set(BODIES) - TAKES_TIME))
def test_its_line_conforms(body: str) -> None:
    BODIES[body](Rig())


def test_every_step_exchanges_between_the_read_and_the_products_a_dummys_too() -> None:
    for batch, kv_tokens, tokens in (
        (Batch(sequences=3, context_tokens=100), 100, 3),
        (Batch(prefill_tokens=10, prefill_pairs=255), 26, 10),
        (Batch(), 0, 0),
    ):
        noted = Noted()
        GemmModel(CostModel(COSTS, 1.0), noted, 16, noted).run(batch)
        assert noted.asked == [
            ("read", 16 * kv_tokens),
            ("dispatch", tokens),
            ("multiply", 70),
            "combine",
            "finish",
        ]


def test_a_dummy_alone_computes_one_token() -> None:
    noted = Noted()
    GemmModel(CostModel(COSTS, 1.0), noted, 16, None).run(Batch())
    assert noted.asked == [("read", 0), ("multiply", 1), "finish"]


def test_a_chunk_reads_its_prompt_once() -> None:
    # Tokens 100 to 149 of a prompt attend to 101 to 150 tokens.
    pairs = sum(range(101, 151))
    assert attended(Batch(prefill_tokens=50, prefill_pairs=pairs)) == 126


def test_the_host_reads_the_ranks_own_pool_as_often_as_it_takes() -> None:
    memory = HostMemory(4, 4, 1, 1, 8, 2, lambda *_: None)
    memory.compute([1], [7], 0, 4)
    compute = HostCompute(Shape(2, 8, 16), memory.region())
    assert compute._kv.nbytes == memory.region().nbytes
    assert np.array_equal(compute._kv.view(np.uint8), memory._bytes.reshape(-1))
    compute.read(10 * memory.region().nbytes + 13)
    compute.multiply(MOST_ROWS + 1)
    compute.finish()
    HostCompute(Shape(1, 8, 16), None).read(1 << 22)
