"""pytest's plugin: `@pytest.mark.ranks(4)` runs a test's body on four ranks, under many schedules.

It comes with adpkv as an entry point, and imports nothing of it before such a test runs. A failure
of any rank is that one test's failure: its traceback first, its peers in a line each, the report,
and the line that replays the schedule.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

__all__ = ["pytest_addoption", "pytest_configure", "pytest_configure_node",
           "pytest_generate_tests", "pytest_pyfunc_call", "pytest_sessionstart",
           "ranks"]  # fmt: skip

SEEDS: Final = 100
"""Schedules of a test, unless its marker says otherwise."""

SECONDS: Final = 60.0
"""No further schedule of a test begins after that."""

BOUND: Final = 30.0
"""Seconds of a test on real ranks, unless its marker says otherwise."""

RANK_OF_BODY: Final = "ADPKV_BODY_FOLDER"
"""The variable that tells a pytest that it is a rank of such a test; also in `under_mpirun`, which
is not imported before one is there."""

ON_RANK: Final = "adpkv-on-rank"

_COUNT: Final = "_adpkv_ranks"
"""The argument that stands for the number of ranks where a marker lists several."""

_COLUMNS: Final = pytest.StashKey[int]()
"""How wide the terminal is."""

_COLUMNS_OF_WORKER: Final = "adpkv_columns"
"""The same as a session tells it its workers."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that a replay line uses."""
    group = parser.getgroup("adpkv")
    group.addoption(
        "--adpkv-replay", metavar="TOKEN", help="make this one schedule of a test of ranks"
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line(
        "markers",
        "ranks(n, seeds=100, strategy='random', kills=0, allow=(), world='virtual', bound=30):"
        " run the body on n ranks, or on each of a list of numbers: in virtual time under so many"
        " schedules, of each of which so many ranks may die, with what `allow` lets; or once"
        " under mpirun (world='mpi') for at most so many seconds (adpkv)",
    )
    if RANK_OF_BODY in os.environ:
        from adpkv.rank_programs.under_mpirun.on_rank import BodyOnRank

        folder = Path(os.environ[RANK_OF_BODY])
        config.pluginmanager.register(BodyOnRank(folder, config, os.environ), ON_RANK)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Look how wide the terminal is: while a test runs, standard output leads elsewhere."""
    with contextlib.suppress(OSError):
        session.config.stash[_COLUMNS] = os.get_terminal_size(1).columns


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """A worker of pytest-xdist has no terminal of its own."""
    node.workerinput[_COLUMNS_OF_WORKER] = _columns(node.config)


def _columns(config: pytest.Config) -> int | None:
    """The width of the session's terminal; None where it writes elsewhere."""
    worker: dict[str, Any] = getattr(config, "workerinput", {})
    return config.stash.get(_COLUMNS, worker.get(_COLUMNS_OF_WORKER))


@pytest.fixture
def ranks(request: pytest.FixtureRequest) -> Any:
    """In the body of a test with the marker `ranks`: this rank, and how it reaches the others."""
    if request.node.get_closest_marker("ranks") is None:
        pytest.fail("`ranks` is for a test with the marker: @pytest.mark.ranks(4)", pytrace=False)
    return None


def _numbers(marker: pytest.Mark) -> Any:
    return marker.args[0] if marker.args else marker.kwargs.get("ranks", 2)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A marker with a list of numbers is a test for each."""
    marker = metafunc.definition.get_closest_marker("ranks")
    if marker is not None and isinstance(_numbers(marker), list | tuple):
        numbers = list(_numbers(marker))
        metafunc.fixturenames.append(_COUNT)
        metafunc.parametrize(_COUNT, numbers, ids=[f"{number} ranks" for number in numbers])


class Asked(NamedTuple):
    """What a test's marker asks for."""

    ranks: int
    seeds: int | None
    """None: as many as the strategy makes of itself."""
    strategy: str
    kills: int
    """How many ranks may die in a schedule."""
    world: str
    bound: float
    allow: str | list[str] | tuple[str, ...]
    """What is let as by `adpkv check --allow`."""

    @property
    def allowed(self) -> frozenset[str]:
        """The words."""
        return frozenset([self.allow] if isinstance(self.allow, str) else self.allow)


def _asked(item: pytest.Function, marker: pytest.Mark) -> Asked:
    """A wrong marker is the test's failure."""
    unknown = sorted(set(marker.kwargs) - {"ranks", *Asked._fields})
    if unknown or len(marker.args) > 1:
        told = f": not {', '.join(unknown)}" if unknown else ""
        pytest.fail(f"the marker ranks takes n, {_listed(Asked._fields[1:])}{told}", pytrace=False)
    every = marker.kwargs.get("strategy") == "exhaustive"
    known = {
        "seeds": None if every else SEEDS, "strategy": "random", "kills": 0, "world": "virtual",
        "bound": BOUND, "allow": (), **marker.kwargs,
    }  # fmt: skip
    asked = Asked(**known | {"ranks": _params(item).get(_COUNT, _numbers(marker))})
    seeds = 1 if every and asked.seeds is None else asked.seeds
    numbers = (
        ("n", asked.ranks, 1, 256), ("seeds", seeds, 1, 10_000_000), ("kills", asked.kills, 0, 8),
    )  # fmt: skip
    wrong = [
        f"{what} is {value!r}, and not from {least} to {most:,}"
        for what, value, least, most in numbers
        if not isinstance(value, int) or not least <= value <= most
    ]
    if asked.world not in ("virtual", "mpi"):
        wrong.append(f"world is {asked.world!r}, and neither 'virtual' nor 'mpi'")
    if not isinstance(asked.bound, int | float) or not 0 < asked.bound <= 86_400:
        wrong.append(f"bound is {asked.bound!r}, and not a number of seconds up to 86,400")
    wrong += _not_allowable(asked)
    others = ("allow", "kills", "strategy") if asked.world == "mpi" else ("bound",)
    wrong += [
        f"{word} is not for world={asked.world!r}" for word in others if word in marker.kwargs
    ]
    if wrong:
        pytest.fail(f"the marker ranks: {wrong[0]}", pytrace=False)
    return asked


def _not_allowable(asked: Asked) -> list[str]:
    if not asked.allow:
        return []
    from adpkv.rank_programs.refusals import ALLOWABLE

    there = ", ".join(map(repr, ALLOWABLE))
    return [f"allow is {word!r}: there are {there}" for word in asked.allowed - {*ALLOWABLE}]


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _params(item: pytest.Function) -> dict[str, Any]:
    callspec = getattr(item, "callspec", None)
    return {} if callspec is None else dict(callspec.params)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the body on all ranks; None for a test without the marker."""
    marker = pyfuncitem.get_closest_marker("ranks")
    if marker is None:
        return None
    asked = _asked(pyfuncitem, marker)
    function = pyfuncitem.obj
    names = [name for name in pyfuncitem._fixtureinfo.argnames if name != "ranks"]
    shared = {name: pyfuncitem.funcargs[name] for name in names}
    wants = "ranks" in pyfuncitem._fixtureinfo.argnames

    def body(handle: Any) -> Any:
        return function(**shared, **({"ranks": handle} if wants else {}))

    perform = _performed if asked.world == "virtual" else _really_performed
    text = perform(pyfuncitem, body, asked)
    if text:
        pytest.fail(text, pytrace=False)
    return True


def _really_performed(item: pytest.Function, body: Any, asked: Asked) -> str:
    """Run the body on real ranks; the report if one failed."""
    on_rank = item.config.pluginmanager.get_plugin(ON_RANK)
    if on_rank is not None:
        from adpkv.rank_programs.under_mpirun.on_rank import perform

        on_rank.begins()
        perform(item, body, on_rank.killed)
        return ""
    from adpkv.launcher_variables import size_of_job

    size = size_of_job(os.environ)
    if size == 1:
        return _in_a_job(item, asked)
    if size != asked.ranks:
        pytest.skip(f"for {asked.ranks} ranks, and mpirun has started {size}")
    from adpkv.rank_programs.under_mpirun.in_place import perform_in_place

    return perform_in_place(item, body, asked.bound)


def _in_a_job(item: pytest.Function, asked: Asked) -> str:
    """The same in a job of its own, beside this session."""
    from adpkv.rank_programs.under_mpirun.job import BodyJob
    from adpkv.rank_programs.under_mpirun.report import failure_text, skipped_text

    if item.config.getoption("--adpkv-replay"):
        pytest.skip("--adpkv-replay makes a schedule again: real ranks have none")
    with BodyJob(item, asked.ranks, asked.bound) as job:
        outcomes = job.outcomes()
        text = failure_text(outcomes, job, f"pytest '{item.nodeid}'")
    skipped = skipped_text(outcomes)
    if skipped:
        pytest.skip(skipped)
    return text


def _performed(item: pytest.Function, body: Any, asked: Asked) -> str:
    """Run the schedules; the report if one failed."""
    number, seeds, strategy = asked.ranks, asked.seeds, asked.strategy
    from adpkv.counting import counted
    from adpkv.errors import UnendingRankError, UsageError
    from adpkv.rank_programs.bodies import BodySession
    from adpkv.rank_programs.checking import Plan, check, replay
    from adpkv.rank_programs.choices import from_token
    from adpkv.rank_programs.report_text import as_failure
    from adpkv.rank_programs.session import Settings

    token = item.config.getoption("--adpkv-replay")
    is_async = inspect.iscoroutinefunction(item.obj)
    try:
        session = BodySession(
            item.nodeid,
            str(item.path),
            Settings(number, kills=asked.kills, allowed=asked.allowed),
            body,
            is_async=is_async,
        )
        with session:
            if token:
                found = replay(session, from_token(token))
            else:
                found = check(session, Plan(seeds, SECONDS, strategy), meets=False)
    except (UsageError, UnendingRankError) as error:
        return str(error)
    report = found.report
    if report is None and found.walked is not None and not found.walked.complete:
        return "not all interleavings were walked: there was no time, or too few schedules"
    if report is None:
        return ""
    if report.evidence.skipped:
        pytest.skip(report.evidence.skipped)
    of = "" if seeds is None else f" of {seeds}"
    text = as_failure(report, _columns(item.config))
    return f"{text}\nschedule {report.schedules}{of}, {counted(number, 'rank')}"
