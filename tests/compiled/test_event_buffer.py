"""`event_buffer.c` and `event_buffer.py`: the same lines and batches, and the same errors."""

from __future__ import annotations

import ast
import gc
import itertools
import subprocess
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adpkv.core.event_lines import Cached, Caused, EventLine, Routed, WithOutcome
from adpkv.core.values import Outcome
from adpkv.output import event_buffer
from tests.compiled.in_c import ROOT, event_buffer_in_c

SHAPES = (Caused, WithOutcome, Routed, Cached)


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
    assert Made(event_buffer_in_c()).done(steps) == Made(event_buffer).done(steps)


def test_every_character_is_written_as_msgspec_does() -> None:
    steps = [("event", chr(number), number, {"x": chr(number)}) for number in range(0x300)]
    steps += [("note", Caused, "a" * number, number, "b" * number) for number in range(0, 3000, 77)]
    assert Made(event_buffer_in_c()).done(steps) == Made(event_buffer).done(steps)


@pytest.mark.parametrize("module", [event_buffer, None], ids=["python", "c"])
def test_a_value_that_cannot_be_written_leaves_nothing_behind(module: Any) -> None:
    made = Made(module or event_buffer_in_c(), batch=1)
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


class Between(list[Any]):
    """Lines that are kept. Something happens once some of them have been taken, as it may without
    the GIL."""

    happens: Callable[[], None] | None = None

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()
        return found


def _kept(made: Made) -> Between:
    kept = made.buffer._pending = Between()
    for at_ns in range(2):
        made.buffer.write(at_ns, 0, "tick", -1, {})
    return kept


def _times(made: Made) -> list[int]:
    made.buffer.flush()
    lines = [line for text in made.texts for line in text.splitlines()]
    return sorted(msgspec.json.decode(line)["at_ns"] for line in lines)


def test_a_line_that_is_added_while_others_are_taken_stays() -> None:
    made = Made(event_buffer)
    kept = _kept(made)
    kept.happens = lambda: kept.append(EventLine(2, 0, "tick", -1))
    made.buffer.flush()
    assert _times(made) == [0, 1, 2]


def test_two_threads_do_not_take_the_same_lines() -> None:
    made = Made(event_buffer)
    kept = _kept(made)
    other = threading.Thread(target=made.buffer.flush)

    def comes_too() -> None:
        other.start()
        other.join(0.1)  # it waits; or else it has taken them by then

    kept.happens = comes_too
    made.buffer.flush()
    other.join()
    assert _times(made) == [0, 1]


@pytest.mark.parametrize("module", [event_buffer, None], ids=["python", "c"])
def test_another_log_is_told_in_its_own_way(module: Any) -> None:
    module = module or event_buffer_in_c()
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
    made = Made(event_buffer_in_c())
    for wrong in (
        lambda: made.recorder.event("x"),
        lambda: made.recorder.event("x", 1, 2),
        lambda: made.recorder.note(Caused, "x", 1),
        lambda: made.recorder.note(EventLine, "x", 1, 2),
        lambda: made.buffer.write(1, 2, "x", 3),
    ):
        with pytest.raises(TypeError):
            cast("Any", wrong)()
    assert made.done([]) == []
    bare = event_buffer_in_c().EventBuffer.__new__(event_buffer_in_c().EventBuffer)
    with pytest.raises(RuntimeError, match="without a place"):
        bare.flush()


def test_an_error_of_the_file_or_clock_is_that_of_who_tells() -> None:
    def fails(*told: object) -> int:
        raise OSError("no room")

    module = event_buffer_in_c()
    with pytest.raises(OSError, match="no room"):
        module.EventBuffer(fails, 1).add(EventLine(1, 2, "x", 3))
    buffer = module.EventBuffer(fails, 9)
    for told in (lambda one: one.event("x", 1), lambda one: one.note(Caused, "x", 1, "y")):
        with pytest.raises(OSError, match="no room"):
            told(module.EventRecorder(buffer, 0, fails))


def test_a_cycle_of_log_and_recorder_is_collected() -> None:
    class Log(event_buffer_in_c().EventBuffer):  # type: ignore[misc]
        pass

    log = Log(lambda text: None, 1)
    log.recorder = event_buffer_in_c().EventRecorder(log, 0, lambda: 0)
    gone = weakref.ref(log)
    del log
    gc.collect()
    assert gone() is None


def test_a_line_is_read_back() -> None:
    text = b"".join(
        Made(event_buffer_in_c()).done([("note", WithOutcome, "responded", 12, "completed")])
    )
    assert msgspec.json.decode(text, type=WithOutcome) == WithOutcome(
        1 << 29, 7, "responded", 12, "completed"
    )


class Text(str):
    __slots__ = ()


class Named(StrEnum):
    BLOCKS = "blocks"
    RANK = "rank"


class Counted(IntEnum):
    TWO = 2


class Other(Enum):
    PEER = 'a "peer"'


ODD_KEYS = (Text("x"), Text('"\u00e9'), Named.BLOCKS, Counted.TWO, Other.PEER, 4, -(1 << 70), 1.5)


@pytest.mark.parametrize(
    "key", [*ODD_KEYS, b"x", None, True, (1,), object()], ids=lambda key: type(key).__name__
)
def test_a_key_that_is_no_plain_string_is_written_or_refused_as_in_python(key: object) -> None:
    outcomes: list[object] = []
    for module in (event_buffer, event_buffer_in_c()):
        made = Made(module, batch=1)
        try:
            made.done([("write", 1, 2, "k", 3, {"before": 1, key: {"x": 2}, "after": None})])
        except TypeError as error:
            outcomes.append(str(error))
        else:
            outcomes.append(b"".join(made.texts))
    assert outcomes[0] == outcomes[1]
    assert isinstance(outcomes[0], bytes) == (key in ODD_KEYS or key == b"x")


@pytest.mark.parametrize("module", [event_buffer, None], ids=["python", "c"])
def test_a_detail_is_a_dictionary(module: Any) -> None:
    made = Made(module or event_buffer_in_c(), batch=1)
    proxies = (MappingProxyType({}), MappingProxyType({"x": 1}))
    for wrong in (None, 0, "", [], (), [("x", 1)], *proxies):
        with pytest.raises(TypeError, match="event k: a detail is a dictionary, and not "):
            made.buffer.write(1, 2, "k", 3, wrong)
    for key in (Text("rank"), Named.RANK):
        with pytest.raises(ValueError, match="hides a fixed key"):
            made.buffer.write(1, 2, "k", 3, {key: 1})
    assert made.texts == []
    made.buffer.write(1, 2, "k", 3, OrderedDict(x=1))
    assert made.texts == [b'{"at_ns":1,"rank":2,"kind":"k","request":3,"x":1}\n']


class Shape:
    """What notes lines when the module lets go of it, as a class with a weak reference may."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.last: Any = None

    @property
    def __struct_fields__(self) -> tuple[str, ...]:
        return ("at_ns", "rank", "kind", "request_id", "".join([self.name, "!"]))

    def __del__(self) -> None:
        if self.last is not None:
            self.last()


def test_a_line_has_its_own_key_whatever_another_one_takes_from_the_table() -> None:
    made = Made(event_buffer_in_c())
    new, rest = Shape("new"), [Shape(f"other{n}") for n in range(4)]

    def meanwhile() -> None:
        for shape in (new, *rest):
            made.recorder.note(shape, "meanwhile", 1, shape.name)

    for n in range(4):
        old = Shape(f"old{n}")
        made.recorder.note(old, "before", 1, old.name)
        old.last = meanwhile
    del old
    made.recorder.note(new, "own", 1, new.name)
    lines = [msgspec.json.decode(line) for line in b"".join(made.done([])).splitlines()]
    assert {"before", "meanwhile", "own"} == {line["kind"] for line in lines}
    for line in lines:
        (key,) = line.keys() - {"at_ns", "rank", "kind", "request"}
        assert key == f"{line[key]}!"
    for shape in SHAPES:  # out of the table again, with nobody who notes
        made.recorder.note(shape, "after", 1, 2)


ENCODED_AS_TEXT = """
import msgspec
msgspec.json.encode = lambda value: "no bytes"
from tests.compiled.in_c import event_buffer_in_c
for value in (0.5, {}):
    try:
        event_buffer_in_c().EventBuffer(print, 1).write(1, 2, "k", 3, {"x": value})
    except TypeError as error:
        print(error)
"""


def test_an_encoder_that_makes_no_bytes_is_a_type_error() -> None:
    event_buffer_in_c()
    command = [sys.executable, "-c", ENCODED_AS_TEXT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["encoded as 'no bytes', which is no text"] * 2, done.stderr


def _asked_of_the_base(made: ast.ClassDef) -> set[str]:
    """The names that a class uses of itself and does not make itself."""
    asked, own = set(), {part.name for part in made.body if isinstance(part, ast.FunctionDef)}
    for part in ast.walk(made):
        if isinstance(part, ast.Attribute) and ast.unparse(part.value) in ("self", "super()"):
            (own if isinstance(part.ctx, ast.Store) else asked).add(part.attr)
    return {*asked} - own


@pytest.mark.parametrize("module", [event_buffer, None], ids=["python", "c"])
def test_a_base_has_every_name_that_is_used_of_it(module: Any) -> None:
    made = Made(module or event_buffer_in_c())
    bases = {"EventBuffer": made.buffer, "EventRecorder": made.recorder}
    met = {}
    for file in (ROOT / "adpkv").rglob("*.py"):
        text = file.read_text()
        if not any(base in text for base in bases):
            continue
        for part in ast.walk(ast.parse(text)):
            for base in part.bases if isinstance(part, ast.ClassDef) else ():
                if (name := ast.unparse(base)) in bases:
                    assert isinstance(part, ast.ClassDef)
                    met[part.name] = _asked_of_the_base(part)
                    for asked in met[part.name]:
                        assert hasattr(bases[name], asked), f"{part.name}: {name}.{asked}"
    assert met == {"EventLog": {"flush"}, "RankRecorder": {"_rank", "_write"}}


def test_the_recorder_in_c_has_what_the_one_in_python_has() -> None:
    for name in event_buffer.EventRecorder.__slots__:
        with pytest.raises(AttributeError):
            setattr(Made(event_buffer_in_c()).recorder, name, None)
    recorder = Made(event_buffer_in_c()).recorder
    assert (recorder._rank, recorder._clock()) == (7, 1 << 29)
