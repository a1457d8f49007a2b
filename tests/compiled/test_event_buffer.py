"""`event_buffer.c` and `event_buffer.py`: the same lines and batches, and the same errors."""

from __future__ import annotations

import gc
import itertools
import weakref
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adpkv.core.event_lines import Cached, Caused, EventLine, Routed, WithOutcome
from adpkv.core.values import Outcome
from adpkv.output import event_buffer
from tests.compiled.in_c import loaded

SHAPES = (Caused, WithOutcome, Routed, Cached)


def _in_c() -> Any:
    return loaded("output/event_buffer", "output/json_text.h")


class Made:
    """What a module writes, a text a batch."""

    def __init__(self, module: Any, batch: int = 3) -> None:
        self.texts: list[bytes] = []
        self.buffer = module.EventBuffer(self.texts.append, batch)
        ticks = itertools.count(1 << 29, 1 << 27)
        self.recorder = module.EventRecorder(self.buffer, 7, lambda: next(ticks))

    def done(self, steps: list[tuple[Any, ...]]) -> list[bytes]:
        for what, *told in steps:
            if what == "write":
                self.buffer.write(*told)
            elif what == "add":
                self.buffer.add(told[0])
            elif what == "note":
                self.recorder.note(*told)
            else:
                self.recorder.event(told[0], told[1], **told[2])
        self.buffer.flush()
        self.buffer.flush()
        return self.texts


TEXTS = st.text(max_size=20) | st.text(st.characters(max_codepoint=130), max_size=600)
NUMBERS = st.integers(-(1 << 70), 1 << 70) | st.integers(-9, 9)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | NUMBERS
    | TEXTS
    | st.floats(allow_nan=True)
    | st.sampled_from(Outcome),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(TEXTS, inner, max_size=2)
    ),
    max_leaves=4,
)
NAMES = st.text(max_size=5).filter(lambda name: name not in ("rank", "kind", "at_ns", "request"))
DETAILS = st.dictionaries(NAMES, VALUES, max_size=4)
STEPS = st.lists(
    st.tuples(st.just("write"), NUMBERS, NUMBERS, TEXTS, NUMBERS, DETAILS)
    | st.tuples(st.just("event"), TEXTS, NUMBERS, DETAILS)
    | st.tuples(st.just("note"), st.sampled_from(SHAPES), TEXTS, NUMBERS, VALUES)
    | st.tuples(st.just("add"), st.builds(EventLine, NUMBERS, NUMBERS, TEXTS, NUMBERS)),
    max_size=9,
)


@given(STEPS)
@settings(max_examples=600, deadline=None)
def test_lines_and_batches_are_those_of_python(steps: list[tuple[Any, ...]]) -> None:
    assert Made(_in_c()).done(steps) == Made(event_buffer).done(steps)


def test_every_character_is_written_as_msgspec_does() -> None:
    steps = [("event", chr(number), number, {"x": chr(number)}) for number in range(0x300)]
    steps += [("note", Caused, "a" * number, number, "b" * number) for number in range(0, 3000, 77)]
    assert Made(_in_c()).done(steps) == Made(event_buffer).done(steps)


@pytest.mark.parametrize("module", [event_buffer, None], ids=["python", "c"])
def test_a_value_that_cannot_be_written_leaves_nothing_behind(module: Any) -> None:
    made = Made(module or _in_c(), batch=1)
    for told in (
        ("event", "odd", 1, {"x": object()}),
        ("event", "\ud800", 1, {}),
        ("note", Caused, "odd", 1, object()),
    ):
        with pytest.raises((TypeError, OverflowError, UnicodeEncodeError)):
            made.done([told])
    with pytest.raises(ValueError, match=r"event k: a detail hides a fixed key: {'rank': 3}"):
        made.done([("event", "k", 1, {"rank": 3})])
    with pytest.raises(ValueError, match="hides a fixed key"):
        made.done([("write", 1, 2, "k", 3, {"x": 1, "request": 3})])
    assert made.done([]) == []


@pytest.mark.parametrize("module", [event_buffer, None], ids=["python", "c"])
def test_another_log_is_told_in_its_own_way(module: Any) -> None:
    module = module or _in_c()
    seen: list[Any] = []

    class Log:
        def write(self, *told: object) -> None:
            seen.append(told)

        def add(self, line: EventLine) -> None:
            seen.append(line)

    class Own(module.EventBuffer):  # type: ignore[misc]
        def add(self, line: EventLine) -> None:
            seen.append(line)

    recorder = module.EventRecorder(Log(), 3, lambda: 5)
    recorder.event("began", 1)
    recorder.event("began", 1, blocks=2)
    recorder.note(Routed, "routed", 1, 4)
    module.EventRecorder(Own(seen.append, 1), 3, lambda: 5).note(Routed, "routed", 1, 4)
    assert seen[:2] == [(5, 3, "began", 1, {}), (5, 3, "began", 1, {"blocks": 2})]
    assert seen[2:] == [Routed(5, 3, "routed", 1, 4)] * 2


def test_what_is_told_wrongly_is_refused() -> None:
    made = Made(_in_c())
    for wrong in (
        lambda: made.recorder.event("x"),
        lambda: made.recorder.event("x", 1, 2),
        lambda: made.recorder.note(Caused, "x", 1),
        lambda: made.recorder.note(EventLine, "x", 1, 2),
        lambda: made.buffer.write(1, 2, "x", 3),
        lambda: made.buffer.write(1, 2, "x", 3, {4: 5}),
        lambda: made.buffer.write(1, 2, "x", 3, None),
    ):
        with pytest.raises(TypeError):
            cast("Any", wrong)()
    assert made.done([]) == []
    bare = _in_c().EventBuffer.__new__(_in_c().EventBuffer)
    with pytest.raises(RuntimeError, match="without a place"):
        bare.flush()


def test_an_error_of_the_file_or_clock_is_that_of_who_tells() -> None:
    def fails(*told: object) -> int:
        raise OSError("no room")

    module = _in_c()
    with pytest.raises(OSError, match="no room"):
        module.EventBuffer(fails, 1).add(EventLine(1, 2, "x", 3))
    buffer = module.EventBuffer(fails, 9)
    for told in (lambda one: one.event("x", 1), lambda one: one.note(Caused, "x", 1, "y")):
        with pytest.raises(OSError, match="no room"):
            told(module.EventRecorder(buffer, 0, fails))


def test_a_cycle_of_log_and_recorder_is_collected() -> None:
    class Log(_in_c().EventBuffer):  # type: ignore[misc]
        pass

    log = Log(lambda text: None, 1)
    log.recorder = _in_c().EventRecorder(log, 0, lambda: 0)
    gone = weakref.ref(log)
    del log
    gc.collect()
    assert gone() is None


def test_a_line_is_read_back() -> None:
    text = b"".join(Made(_in_c()).done([("note", WithOutcome, "responded", 12, "completed")]))
    assert msgspec.json.decode(text, type=WithOutcome) == WithOutcome(
        1 << 29, 7, "responded", 12, "completed"
    )
