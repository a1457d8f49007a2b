"""How a member waits for the others in shared memory: one process, which writes for all of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mpi4py")

from mpi4py import MPI

from adpkv.flight_recorder.job_directory import slot_path
from adpkv.flight_recorder.slot_layout import HEAD_WORDS, Layout, paired
from adpkv.worlds.mpi.call_site import CallSite
from adpkv.worlds.mpi.exchange import shared
from adpkv.worlds.mpi.exchange.segment import Segment
from adpkv.worlds.mpi.exchange.shared import SharedExchange
from adpkv.worlds.mpi.slots import NEW, HeadReader

LAYOUT = Layout(group=3, epoch=0, ranks=(0, 1, 2), here=(0, 1, 2))
TOKEN = b"t" * 16
CODE = paired(7, 8)


class Rig:
    """Member 0 of three; `steps` has what it does while it waits, `then` is called at each."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, crowded: bool) -> None:
        self.segment = Segment.create(slot_path(folder, 3, 0, TOKEN), LAYOUT, TOKEN)
        self.steps: list[str] = []
        self.then: Callable[[int], None] = lambda number: None
        # 20 µs pass between two readings of the clock, so some yields and then an `attend`.
        monkeypatch.setattr(shared, "perf_counter_ns", map((20_000).__mul__, count(1)).__next__)
        monkeypatch.setattr(shared, "sched_yield", lambda: self._does("yield"))
        self.exchange = SharedExchange(
            self.segment, 0, 0, watch=self, links=None, hosts=1, crowded=crowded,  # type: ignore[arg-type]
        )  # fmt: skip
        read = self.exchange._read_rounds
        self.exchange._read_rounds = lambda memory, at: self._look(read(memory, at))
        self.site = CallSite("kind", "site", 3, 0)

    def Iprobe(self, source: int) -> bool:  # noqa: N802 - MPI's name
        """Of the communicator that tells of rank failures."""
        self._does("attend")
        return False

    def _does(self, what: str) -> None:
        self.steps.append(what)
        self.then(len(self.steps))

    def _look(self, found: Any) -> Any:
        self.steps.append("look")
        return found

    def others(self, round_: int, *members: int, new: int = 0, sequence: int = 5) -> None:
        """These members have come to a round."""
        for member in members:
            at = LAYOUT.head(round_, member).start
            place = (paired(new, 0), paired(3, 0), sequence, 9, CODE, 4, round_)
            HEAD_WORDS.pack_into(self.segment.memory, at, *place)

    def meet(self) -> bool:
        """One round of member 0."""
        return self.exchange.slots(self.site, b"", paired(3, 0), 5, 9, CODE, 4)


@pytest.mark.parametrize("crowded", [False, True])
def test_between_two_looks_a_core_is_given_away_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crowded: bool
) -> None:
    """MPI yields too while it attends: a second yield lets a turn go by."""
    rig = Rig(tmp_path, monkeypatch, crowded=crowded)
    rig.then = lambda step: rig.others(1, 1, 2) if step > 1000 else None
    rig.meet()
    given = "".join({"look": " ", "yield": "y", "attend": "a"}[step] for step in rig.steps).split()
    assert set(given) == {"y", "a"}, "one at a time"
    assert rig.steps[-1] == "look"


def test_what_is_said_again_is_seen_by_the_heads_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path, monkeypatch, crowded=False)
    rig.others(1, 1, 2)
    assert not rig.meet(), "what this member says is not known yet"
    rig.site.hear({}, bytes)
    rig.steps.clear()
    rig.others(2, 1, 2)
    assert rig.meet()
    assert rig.steps == []
    rig.others(3, 1, 2, new=NEW)
    assert not rig.meet(), "something new"
    assert HeadReader(3).lengths_of_new(rig.site.heads) == {1: 0, 2: 0}


@pytest.mark.parametrize("crowded", [False, True])
def test_whoever_breaks_off_ends_the_waits_of_its_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crowded: bool
) -> None:
    """Before MPI tells of a rank failure, and although the others never come."""
    rig = Rig(tmp_path, monkeypatch, crowded=crowded)
    other = Segment.open(slot_path(tmp_path, 3, 0, TOKEN), LAYOUT, TOKEN)
    end = SharedExchange(other, 1, 1, watch=rig, links=None, hosts=1, crowded=crowded)  # type: ignore[arg-type]
    rig.then = lambda step: end.break_off() if step > 1000 else None
    for wait in (rig.meet, lambda: rig.exchange.payloads(b"x", [1, 1, 1])):
        with pytest.raises(MPI.Exception):
            wait()
    with pytest.raises(MPI.Exception):
        rig.exchange.woken(7)


def test_a_member_elsewhere_is_seen_although_a_third_never_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path, monkeypatch, crowded=True)
    rig.others(1, 1, sequence=6)
    assert not rig.meet()
    third = rig.site.heads[LAYOUT.head(1, 2).start - LAYOUT.heads(1).start :]
    assert not any(third)
    assert rig.steps.count("attend") > shared.OTHERS_NS // 200_000, "not at once: others may come"
