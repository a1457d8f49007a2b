"""Who gives the core away while a host waits for the others: MPI, or, if it may not, the rank."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

pytest.importorskip("mpi4py")

from adpkv.worlds.mpi import mpi_yields
from adpkv.worlds.mpi.exchange import host_links
from adpkv.worlds.mpi.exchange.host_links import POLLS, HostLinks
from adpkv.worlds.mpi.mpi_yields import MpiYields


def open_mpi(was: bool) -> Callable[[bool], bool]:
    state = [was]

    def setter(on: bool) -> bool:
        state.append(on)
        return state[-2]

    return setter


@pytest.mark.parametrize(
    ("setter", "on", "yields"),
    [(open_mpi(True), True, 0), (open_mpi(False), False, 9), (None, None, 9)],
)
def test_a_rank_yields_unless_mpi_does(
    setter: Callable[[bool], bool] | None,
    on: bool | None,
    yields: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mpi_yields, "_setter", lambda: setter)
    found = MpiYields()
    with found.waiting():
        assert found.on is on
    found.only_polls(True)
    found.only_polls(False)
    assert found.on is on

    answers = iter([False] * (POLLS + 9) + [True])
    request, given = SimpleNamespace(Testall=lambda _: next(answers)), list[None]()
    monkeypatch.setattr(host_links, "MPI", SimpleNamespace(Request=request))
    monkeypatch.setattr(host_links, "sched_yield", lambda: given.append(None))
    links = HostLinks.__new__(HostLinks)
    links._polls, links._mpi_yields = POLLS, found
    links._finish([], lambda: None)
    assert len(given) == yields
