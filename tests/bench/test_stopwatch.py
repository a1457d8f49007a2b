"""The stopwatch: what it does on behalf of the world, and what it calls a rank's own."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from adpkv.bench.stopwatch import Iteration, Stopwatch
from adpkv.executor.collectives import Collective, Elapsed, Step, Wait


async def _program(ran: list[str], iterations: int) -> list[Any]:
    found: list[Any] = []
    for number in range(iterations):
        found.append(
            await Collective(
                0, "tp_allgather", "intake", number, None, 1, lambda said: ("all", said)
            )
        )
        found.append(await Wait(0, "wait", "wait", number, None, 10**12, 0))
        await Step(0, "step", "forward", number, None, 0, 0, 1, 0, lambda: ran.append("a step"))
    return found


def _drive(watch: Stopwatch[list[Any]]) -> tuple[list[Any], list[Any]]:
    """What a world meets, and what the program returns."""
    met: list[Any] = []
    result: Any = None
    while True:
        try:
            met.append(watch.send(result))
        except StopIteration as end:
            return met, end.value
        if isinstance(met[-1], Step):
            met[-1].run()
            result = Elapsed(1, met[-1].iteration, None)
        else:
            result = (met[-1].payload,)


def test_the_world_meets_and_the_program_gets_what_it_would_without_a_stopwatch() -> None:
    ran: list[str] = []
    between: list[int] = []
    program: Coroutine[Any, Any, list[Any]] = _program(ran, 3)
    watch = Stopwatch(program, lambda: (7, 9), lambda found: between.append(len(found)))
    met, found = _drive(watch)
    assert [operation.site for operation in met] == ["intake", "forward"] * 3, "waits are skipped"
    assert found[::2] == [("all", (1,))] * 3, "combined, as the world would have"
    assert found[1] == Elapsed(0, 0, None)
    assert ran == ["a step"] * 3, "each once"
    assert between == [1, 2]
    assert [(one.active, one.open, list(one.own)) for one in watch.iterations] == [
        (7, 9, ["intake", "forward"])
    ] * 3


def test_what_is_done_for_the_program_is_its_own_time() -> None:
    """A collective's `combine` and a step's `run` happen inside a turn, before the world has it."""
    order: list[str] = []

    async def program() -> None:
        await Collective(
            0, "tp_allgather", "intake", 0, None, 1, lambda said: order.append("combine")
        )
        await Step(0, "step", "forward", 0, None, 0, 0, 1, 0, lambda: order.append("run"))

    watch: Stopwatch[None] = Stopwatch(program(), lambda: (0, 0), lambda _: None)
    collective = watch.send(None)
    assert collective.combine is None, "nothing is left to the world"
    watch.send((1,))
    assert order == ["combine", "run"]
    assert isinstance(watch.iterations[0], Iteration)
