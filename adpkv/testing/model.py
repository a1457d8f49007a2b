"""What every model must do, as bodies that any implementation can be put through.

A body gets a `Rig`: a model, the factor by which its real steps are longer, and how long it slept
so far. The virtual world jumps over quiet stretches by the model's line alone, so the line must be
exact: what single steps take to the nanosecond, not nearly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Protocol

from adpkv.model.port import Batch, Model, rounded_ns

__all__ = ["BODIES", "Rig"]

BATCHES, STEPS = 50, 200
NS_PER_S = 1e9


class Rig(Protocol):
    """A model under test; whole seconds of real time are never taken, only noted."""

    model: Model
    scale: float
    slept: list[float]


def _decoding(seed: int) -> Iterator[Batch]:
    draw = Random(seed)
    for _ in range(BATCHES):
        yield Batch(sequences=draw.randint(1, 4096), context_tokens=draw.randint(1, 10**9))


def _prefilling(seed: int) -> Iterator[Batch]:
    draw = Random(seed)
    for _ in range(BATCHES):
        tokens, before = draw.randint(1, 10**5), draw.randint(0, 10**6)
        pairs = tokens * before + tokens * (tokens + 1) // 2
        yield Batch(prefill_tokens=tokens, prefill_pairs=pairs)


def _single_steps(model: Model, batch: Batch, count: int) -> Iterator[int]:
    """What each of a row of decode steps takes when it is asked for by itself."""
    for step in range(count):
        context_tokens = batch.context_tokens + step * batch.sequences
        yield model.line(Batch(sequences=batch.sequences, context_tokens=context_tokens))[0]


def check_the_line_is_exact_at_each_step(rig: Rig) -> None:
    """base + k * slope is what the k-th step takes by itself, over the grown batch."""
    for batch in _decoding(1):
        base, slope = rig.model.line(batch)
        for step, single in enumerate(_single_steps(rig.model, batch, STEPS)):
            assert base + step * slope == single, (batch, step)


def check_a_stretch_is_the_sum_of_its_steps(rig: Rig) -> None:
    """n steps in one go end when n steps one by one end, to the tick."""
    for batch in _decoding(2):
        base, slope = rig.model.line(batch)
        whole = STEPS * base + slope * (STEPS * (STEPS - 1) // 2)
        assert whole == sum(_single_steps(rig.model, batch, STEPS)), batch


def check_a_stretch_may_be_cut_anywhere(rig: Rig) -> None:
    """What a step takes does not depend on where the stretch before it ended."""
    for batch in _decoding(3):
        base, slope = rig.model.line(batch)
        for cut in (1, 7, STEPS - 1):
            grown = batch.context_tokens + cut * batch.sequences
            later = rig.model.line(Batch(sequences=batch.sequences, context_tokens=grown))
            assert later == (base + cut * slope, slope)


def check_costs_are_whole_ticks(rig: Rig) -> None:
    """Sums of floats would depend on how they are grouped."""
    assert type(rig.model.ticks_per_ns) is int
    assert rig.model.ticks_per_ns >= 1
    for batch in (Batch(), *_decoding(4), *_prefilling(4)):
        base, slope = rig.model.line(batch)
        assert type(base) is type(slope) is int
        assert base >= 0
        assert slope >= 0


def check_a_dummy_costs_no_more_than_work(rig: Rig) -> None:
    """And its cost does not grow."""
    dummy, slope = rig.model.line(Batch())
    assert slope == 0
    for batch in (*_decoding(5), *_prefilling(5)):
        assert rig.model.line(batch)[0] >= dummy


def check_prefill_does_not_grow(rig: Rig) -> None:
    """A chunk of a prompt is one step; the next chunk is another batch."""
    assert all(rig.model.line(batch)[1] == 0 for batch in _prefilling(6))


def check_a_prompt_in_chunks_costs_the_same_but_for_the_steps(rig: Rig) -> None:
    """Tokens and pairs add up, however the scheduler cuts the prompt."""
    dummy = rig.model.line(Batch())[0]
    draw = Random(7)
    for _ in range(BATCHES):
        tokens = draw.randint(2, 10**5)
        cut = draw.randint(1, tokens - 1)
        whole, first = (
            Batch(prefill_tokens=count, prefill_pairs=count * (count + 1) // 2)
            for count in (tokens, cut)
        )
        rest = Batch(
            prefill_tokens=tokens - cut, prefill_pairs=whole.prefill_pairs - first.prefill_pairs
        )
        parts = rig.model.line(first)[0] + rig.model.line(rest)[0]
        assert parts == rig.model.line(whole)[0] + dummy


def check_asking_changes_nothing(rig: Rig) -> None:
    """The same batch costs the same at any time; asking takes none."""
    batches = [*_decoding(8), *_prefilling(8)]
    before = [rig.model.line(batch) for batch in batches]
    assert rig.slept == []
    rig.model.run(batches[0])
    slept = list(rig.slept)
    assert [rig.model.line(batch) for batch in batches] == before
    assert rig.slept == slept


def check_a_real_step_takes_what_its_line_says(rig: Rig) -> None:
    """Rounded once, scaled, in seconds; also a dummy's. A step that takes none gives the core to
    nobody."""
    batches = [Batch(), *_decoding(9), *_prefilling(9)]
    for batch in batches:
        rig.model.run(batch)
    ticks = rig.model.ticks_per_ns
    steps_ns = [rounded_ns(rig.model.line(batch)[0], ticks) for batch in batches]
    lines_s = [step_ns * rig.scale / NS_PER_S for step_ns in steps_ns]
    assert rig.slept == [line_s for line_s in lines_s if line_s]


BODIES: dict[str, Callable[[Rig], None]] = {
    name.removeprefix("check_"): body
    for name, body in sorted(globals().items())
    if name.startswith("check_")
}
"""Every body by its name."""
