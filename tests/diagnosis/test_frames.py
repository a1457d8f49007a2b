"""Stacks in a few short lines: of a suspended program, of a thread, of what faulthandler wrote."""

from __future__ import annotations

import faulthandler
import threading
from pathlib import Path

import pytest

from adpkv.diagnosis import frames
from adpkv.diagnosis.frames import dumped_stack, program_stack, thread_stack
from tests.diagnosis.planted import meet, sync


def test_a_suspended_program_and_one_that_is_over() -> None:
    program = meet(sync())
    program.send(None)
    (line,) = program_stack(program)
    assert line.startswith("diagnosis/planted.py:")
    assert line.endswith(" meet")
    program.close()
    assert program_stack(program) == ()


class Loop:
    async def step(self) -> None:
        await sync()

    async def wait(self) -> None:
        await sync()


def test_a_program_that_is_in_another_phase_by_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "_PACKAGE", Path(__file__).parents[1])
    program = Loop().step()
    program.send(None)
    (stood,) = program_stack(program, "step")
    assert (stood,) == program_stack(program)
    (stands,) = program_stack(program, "wait")
    lines = [int(line.partition(":")[2].partition(" ")[0]) for line in (stood, stands)]
    assert lines[1] == lines[0] + 3
    assert stands.endswith(" wait")
    assert program_stack(program, "leave") == (stood,), "a name that it does not have"
    program.close()


def test_a_thread_and_one_that_is_gone() -> None:
    found = thread_stack(threading.get_ident())
    assert any(" test_a_thread_and_one_that_is_gone" in line for line in found)
    assert thread_stack(-1) == ()


def test_what_the_fault_handler_writes(tmp_path: Path) -> None:
    path = tmp_path / "stacks"
    with path.open("w") as file:
        faulthandler.dump_traceback(file)
    found = dumped_stack(path.read_text())
    assert found[-1].startswith("diagnosis/test_frames.py:")
    assert found[-1].endswith(" test_what_the_fault_handler_writes")
    assert dumped_stack("(it did not answer)") == ()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("class Loop:\n    async def run(self):\n        await self\n", ("loop.py:3 run",)),
        ("class Loop:\n    async def run(self):\n        async with self: ...\n", ()),
        ("class Loop:\n    async def ru", ()),
        ("\0", ()),
        (None, ()),
    ],
)
def test_the_source_of_a_compiled_coroutine_may_be_gone_or_another(
    source: str | None, told: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "adpkv"
    package.mkdir()
    if source is not None:
        (package / "loop.py").write_text(source)
    monkeypatch.setattr(frames, "_PACKAGE", package)
    compiled = type("run_Loop_gen", (), {"__module__": "adpkv.loop"})()
    assert program_stack(compiled) == told
