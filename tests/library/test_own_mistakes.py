"""What a caller's own pieces do wrong is told as theirs: by name, with the line."""

from __future__ import annotations

import copy
import functools
import re
from typing import Any

import numpy as np
import pytest

import adpkv
from adpkv.memory.port import ReuseWatch
from adpkv.memory.virtual import LedgerMemory
from adpkv.model.own import OwnModel
from adpkv.plugins import OwnPort, bare
from adpkv.ports import (
    NEVER,
    Arrival,
    Batch,
    MemorySetting,
    Transport,
    TransportSetting,
    VirtualMemory,
)
from adpkv.workload import build
from adpkv.workload.arrivals import ClosedLoop, Poisson
from adpkv.workload.cancels import Clients
from adpkv.workload.deadlines import Hurried
from adpkv.workload.script import Script
from adpkv.workload.shapes import Shapes
from adpkv.workload.stops import Stopping
from adpkv.workload.traces import FIRST, SessionWorkload, Trace, TraceWorkload
from tests.library.test_bring_your_own import Instant


class Spoilt:
    """A burst of four requests of which `spoil` does one thing in another way."""

    def __init__(self, what: str, spoil: Any) -> None:
        self.total, self._taken = 4, 0
        self._what, self._spoil = what, spoil

    def due_ns(self) -> Any:
        if self._what == "due_ns":
            return self._spoil()
        return 1_000 if self._taken < self.total else NEVER

    def take(self) -> Any:
        self._taken += 1
        return self._spoil() if self._what == "take" else Arrival(1_000, 64, 4)

    def ended(self, now_ns: int, number: int) -> None:
        if self._what == "ended":
            self._spoil()


class SpoiltModel:
    """A model whose cost is what `spoil` gives."""

    ticks_per_ns = 1

    def __init__(self, spoil: Any) -> None:
        self._spoil = spoil

    def line(self, batch: Batch) -> Any:
        return self._spoil()

    def run(self, batch: Batch) -> None: ...


def broken() -> None:
    raise ValueError("no idea")


LINE = broken.__code__.co_firstlineno + 1
RAISED = rf"raised ValueError: no idea \(test_own_mistakes.py:{LINE}\)"


def arrival(**changed: Any) -> Any:
    return lambda: Arrival(**{"at_ns": 1_000, "prompt_tokens": 64, "output_tokens": 4, **changed})


@pytest.mark.parametrize(
    ("what", "spoil", "told"),
    [
        ("due_ns", broken, f"due_ns {RAISED}"),
        ("take", broken, f"take {RAISED}"),
        ("ended", broken, f"ended {RAISED}"),
        ("due_ns", lambda: 3e6, "due_ns is 3000000.0, not an integer of 0 or more"),
        ("take", lambda: (1, 2), r"take returned \(1, 2\), which is no Arrival"),
        ("take", arrival(prompt_tokens=0), ".* prompt_tokens is 0, and must be at least 1"),
        ("take", arrival(prompt_tokens="20"), ".* prompt_tokens is '20', not an integer"),
        ("take", arrival(block_hashes=(-1,)), ".* block_hashes are not all integers"),
        ("take", arrival(wanted=-1), ".* wanted is -1, neither None nor"),
        ("take", arrival(wanted=np.array([1, 2])), ".* wanted is array.*, neither None nor"),
        ("take", arrival(deadline_ns=np.ones(2, int)), ".* deadline_ns is array.*, not an integer"),
        ("take", arrival(client_id=5), ".* client_id is 5, not text"),
    ],
)
def test_of_a_workload(what: str, spoil: Any, told: str) -> None:
    with pytest.raises(adpkv.UsageError, match=f"workload: Spoilt: {told}"):
        adpkv.simulate("quickstart", workload=Spoilt(what, spoil))


class Number:
    """An integer that knows nothing but that."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        return self._value


@pytest.mark.parametrize("kind", [np.int64, Number])
def test_integers_of_another_library_are_no_mistake(kind: Any) -> None:
    numbers = arrival(
        at_ns=kind(1_000), prompt_tokens=kind(64), wanted=kind(1), block_hashes=(kind(5),)
    )
    found = adpkv.simulate("quickstart", workload=Spoilt("take", numbers))
    assert {request.context_rank for request in found.requests} == {1}
    assert [request.prompt_tokens for request in found.requests] == [64] * 4


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (broken, f"line {RAISED}"),
        (lambda: 5, r"line returned 5, not \(base, slope\)"),
        (lambda: (1.5, 0), "the base that line returned is 1.5, not an integer of 0 or more"),
        (lambda: (1, -2), "the slope that line returned is -2, not an integer of 0 or more"),
    ],
)
def test_of_a_model(spoil: Any, told: str) -> None:
    changed = {"workload.requests": 2}
    with pytest.raises(adpkv.UsageError, match=f"model: SpoiltModel: {told}"):
        adpkv.simulate("quickstart", set=changed, model=SpoiltModel(spoil))


class Lazy(SpoiltModel):
    @property
    def ticks_per_ns(self) -> int:  # type: ignore[override]
        return broken()  # type: ignore[return-value, func-returns-value]


class Late(SpoiltModel):
    """Its cost is there when it is looked for, and then no more."""

    _asked = 0

    @property
    def ticks_per_ns(self) -> int:  # type: ignore[override]
        self._asked += 1
        return 1 if self._asked == 1 else broken()  # type: ignore[return-value, func-returns-value]


@pytest.mark.parametrize(("model", "told"), [(Lazy, "Lazy"), (Late, "Late: ticks_per_ns")])
def test_of_a_property(model: Any, told: str) -> None:
    with pytest.raises(adpkv.UsageError, match=f"model: {told} {RAISED}"):
        adpkv.simulate("quickstart", model=model(None))


def test_what_the_world_waits_for_passes() -> None:
    model = OwnModel("model: Together", SpoiltModel(None))
    model._inner.run = lambda batch: broken()  # type: ignore[method-assign]
    with pytest.raises(adpkv.UsageError, match=f"model: Together: run {RAISED}"):
        model.run(Batch())
    model.passes = (ValueError,)
    with pytest.raises(ValueError, match=r"^no idea$"):
        model.run(Batch())


@pytest.mark.parametrize("error", [ZeroDivisionError("ours"), adpkv.AdpkvError("ours")])
def test_a_bug_of_ours_in_a_plugin_is_none_of_the_plugin(error: Exception) -> None:
    inside: dict[str, Any] = {"__name__": "adpkv.workload.poisson", "error": error}
    exec("def take():\n    raise error", inside)
    with pytest.raises(type(error), match=r"^ours$"):
        adpkv.simulate("quickstart", workload=Spoilt("take", inside["take"]))
    with pytest.raises(type(error), match=r"^ours$"):
        adpkv.simulate("quickstart", model=SpoiltModel(inside["take"]))
    told = adpkv.UsageError("no such line")
    inside["error"] = told
    with pytest.raises(adpkv.UsageError, match=r"take raised UsageError: no such line \(test_own"):
        adpkv.simulate("quickstart", workload=Spoilt("take", inside["take"]))


SHAPES = {
    "seed": 1, "block_tokens": 64, "prompt_min_tokens": 4, "prompt_max_tokens": 8,
    "output_min_tokens": 1, "output_max_tokens": 2,
}  # fmt: skip


def shapes(**changed: Any) -> Shapes:
    return Shapes(**{**SHAPES, **changed})


def poisson(**changed: Any) -> Poisson:
    given = {"shapes": shapes(), "clients": Clients(1), "seed": 1, "rate_per_s": 9.0, "total": 2}
    return Poisson(**{**given, **changed})


def session_ended(*given: Any) -> None:
    """The second turn of a session begins with this answer."""
    trace = Trace(1)
    for at_ns, follows in ((0, FIRST), (-1, 0)):
        for column, value in zip(
            ("at_ns", "prompt_tokens", "output_tokens", "known_tokens", "conversation", "follows",
             "think_ns", "cancel_ns", "first_id"),
            (at_ns, 4, 2, 0, -1, follows, 5, -1, 0), strict=True,
        ):  # fmt: skip
            getattr(trace, column).append(value)
    workload = SessionWorkload(trace, Clients(0), 64)
    workload.take()
    workload.ended(*given)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: poisson(rate_per_s=0), "Poisson: rate_per_s is 0, and must be above 0"),
        (lambda: poisson(rate_per_s="9"), "Poisson: rate_per_s is '9', not a number"),
        (lambda: poisson(rate_per_s=float("nan")), "Poisson: rate_per_s is nan, not a number"),
        (lambda: poisson(total=2.5), "Poisson: total is 2.5, not an integer"),
        (lambda: poisson(shapes=7), "Poisson: shapes is 7, which has no arrival"),
        (lambda: poisson(clients=None), "Poisson: clients is None, which has no cancel_ns, wanted"),
        (lambda: poisson(total=0).take(), "all 0 requests were taken"),
        (
            lambda: shapes(prompt_max_tokens=3),
            "Shapes: prompt_max_tokens is 3, and must be at least 4",
        ),
        (lambda: shapes(block_tokens=0), "Shapes: block_tokens is 0, and must be at least 1"),
        (lambda: Clients(1, pinned=2), "Clients: pinned is 2, and must be at least 0 and at most"),
        (
            lambda: ClosedLoop(shapes(), Clients(1), users=-1, think_time_ns=0, total=1),
            "ClosedLoop: users is -1, and must be at least 0",
        ),
        (
            lambda: ClosedLoop(shapes(), Clients(1), users=0, think_time_ns=0, total=1).ended(
                None,  # type: ignore[arg-type]
                1,
            ),
            "ClosedLoop: ended: now_ns is None, not an integer",
        ),
        (
            lambda: session_ended("now", 0),
            "SessionWorkload: ended: now_ns is 'now', not an int",
        ),
        (lambda: session_ended(1, []), r"SessionWorkload: ended: number is \[\], not an integer"),
        (lambda: Script([]).take(), "all 0 requests were taken"),
        (lambda: Script([Arrival(0, 1, 1)]), "Script: its entries are not all Scripted"),  # type: ignore[list-item]
        (lambda: Stopping(poisson(), 1, 0), "Stopping: probability is 0, and must be above 0"),
        (lambda: Hurried(poisson(), "5s"), "Hurried: deadline_ns is '5s', not an integer"),  # type: ignore[arg-type]
        (lambda: Hurried([], 5), r"Hurried: inner is \[\], which has no due_ns, take, ended"),  # type: ignore[arg-type]
        (
            lambda: TraceWorkload("t.jsonl", Clients(1), 64),  # type: ignore[arg-type]
            "TraceWorkload: trace is 't.jsonl', no Trace",
        ),
        (lambda: build("quickstart"), "build: 'quickstart' is no experiment"),  # type: ignore[arg-type]
    ],
)
def test_what_a_plugin_gives_to_a_shipped_workload(call: Any, told: str) -> None:
    """It was told as a bug of adpkv, code 70: it is raised in a module of ours."""
    with pytest.raises(adpkv.UsageError, match=f"workload: Spoilt: take raised [A-Za-z]+: {told}"):
        adpkv.simulate("quickstart", workload=Spoilt("take", call))
    with pytest.raises(ValueError, match=f"^{told}"):
        call()


def test_what_a_compiled_function_refuses_is_no_bug_of_ours() -> None:
    """It looks at its arguments before it begins, so that no check of ours comes first."""
    inside: dict[str, Any] = {"__name__": "adpkv.workload.cancels"}
    refusing = "raise TypeError('float object expected; got str')"
    exec(f"def made():\n    {refusing}\ndef deeper():\n    made()", inside)
    with pytest.raises(adpkv.UsageError, match=r"take raised TypeError: float object expected"):
        adpkv.simulate("quickstart", workload=Spoilt("take", lambda: inside["made"]()))
    with pytest.raises(TypeError, match=r"^float object expected"):
        adpkv.simulate("quickstart", workload=Spoilt("take", lambda: inside["deeper"]()))


def test_where_nothing_is_in_a_file_no_line_is_named() -> None:
    typed: dict[str, Any] = {"__name__": "__main__"}
    code = compile("def due_ns():\n    raise ValueError('no idea')", "<stdin>", "exec")
    exec(code, typed)
    workload = Spoilt("", None)
    workload.due_ns = typed["due_ns"]  # type: ignore[method-assign]
    with pytest.raises(adpkv.UsageError, match=r"due_ns raised ValueError: no idea$"):
        adpkv.simulate("quickstart", workload=workload)


class SpoiltMemory(LedgerMemory):
    """A memory of which one call raises."""

    def __init__(self, what: str, setting: MemorySetting) -> None:
        super().__init__(setting.blocks, setting.block_tokens, setting.block_bytes, setting.report)
        setattr(self, what, lambda *given, **named: broken())


@pytest.mark.parametrize(
    "what", ["hand_out", "compute", "expect_write", "land", "verify", "release"]
)
def test_of_a_memory(what: str) -> None:
    with pytest.raises(adpkv.UsageError) as caught:
        adpkv.simulate("four-ranks", memory=functools.partial(SpoiltMemory, what))
    told = str(caught.value)
    assert re.fullmatch(f"kv_cache.memory: SpoiltMemory: {what} {RAISED}", told)


@pytest.mark.parametrize("what", ["expect", "post", "poll", "last_moved_ns", "has_failed"])
def test_of_a_transport(what: str) -> None:
    link = Instant()

    def make(setting: TransportSetting) -> Any:
        end = link(setting)
        setattr(end, what, lambda *given: broken())
        return end

    with pytest.raises(adpkv.UsageError) as caught:
        adpkv.simulate("four-ranks", transport=make)
    assert re.fullmatch(f"transceiver.transport: End: {what} {RAISED}", str(caught.value))


def test_of_what_a_transport_does_later() -> None:
    link = Instant()

    def make(setting: TransportSetting) -> Any:
        setting.later(1_000, broken)
        return link(setting)

    told = f"transceiver.transport: a transport: later {RAISED}"
    with pytest.raises(adpkv.UsageError, match=told):
        adpkv.simulate("four-ranks", transport=make)
    named = {"transceiver.transport": f"{__name__}:late"}
    told = f"transceiver.transport: {__name__}:late: later {RAISED}"
    with pytest.raises(adpkv.UsageError, match=told):
        adpkv.simulate("four-ranks", set=named)


def late(setting: TransportSetting) -> Any:
    """What the test above names."""
    setting.later(1_000, broken)
    return LATE(setting)


LATE = Instant()


def test_mpis_own_errors_pass() -> None:
    """A recovery begins with them."""

    class PassingError(Exception): ...

    class Failing:
        def poll(self) -> None:
            raise PassingError

    own = OwnPort("transceiver.transport: own", Failing(), Transport, passes=(PassingError,))
    with pytest.raises(PassingError):
        own.poll()
    own = OwnPort("transceiver.transport: own", Failing(), Transport)
    with pytest.raises(adpkv.UsageError, match=r"own: poll raised PassingError"):
        own.poll()


def test_a_port_of_ones_own_keeps_all_that_it_has() -> None:
    class Watching(LedgerMemory):
        def __init__(self, setting: MemorySetting) -> None:
            super().__init__(
                setting.blocks, setting.block_tokens, setting.block_bytes, setting.report
            )
            made.append(self)

    made: list[Any] = []
    changed = {"kv_cache.reuse": True, "kv_cache.reuse_received": True}
    found = adpkv.simulate("four-ranks", set=changed, memory=Watching)
    assert found.requests == adpkv.simulate("four-ranks", set=changed).requests
    assert len(made) == 4
    own = OwnPort("kv_cache.memory: own", made[0], VirtualMemory, ReuseWatch)
    assert isinstance(own, ReuseWatch)
    assert own.block_tokens == made[0].block_tokens
    assert bare(own) is made[0]
    assert bare(made[0]) is made[0]


def test_a_port_of_ones_own_can_be_copied() -> None:
    inner = object()
    copied = copy.copy(OwnPort("transceiver.transport: own", inner, Transport))
    assert copied.inner is inner
    assert not hasattr(OwnPort.__new__(OwnPort), "anything")
