"""pytest's plugin: `@pytest.mark.ranks(4)` runs a test's body on four ranks, under many schedules.

It comes with adpkv as an entry point, and imports nothing of it before such a test runs. A failure
of any rank is that one test's failure: its traceback first, its peers in a line each, the report,
and the line that replays the schedule.
"""

from __future__ import annotations

import inspect
from typing import Any, Final

import pytest

__all__ = ["pytest_addoption", "pytest_configure", "pytest_generate_tests", "pytest_pyfunc_call",
           "ranks"]  # fmt: skip

SEEDS: Final = 100
"""Schedules of a test, unless its marker says otherwise."""

SECONDS: Final = 60.0
"""No further schedule of a test begins after that."""

_COUNT: Final = "_adpkv_ranks"
"""The argument that stands for the number of ranks where a marker lists several."""


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
        "ranks(n, seeds=100, strategy='random'): run the body on n ranks, or on each of a list of"
        " numbers, under so many schedules (adpkv)",
    )


@pytest.fixture
def ranks() -> Any:
    """In the body of a test with the marker `ranks`: this rank, and how it reaches the others."""
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


def _asked(item: pytest.Function, marker: pytest.Mark) -> tuple[int, int, str]:
    """How many ranks and schedules, and which strategy; a wrong marker is the test's failure."""
    unknown = sorted(set(marker.kwargs) - {"ranks", "seeds", "strategy"})
    if unknown or len(marker.args) > 1:
        told = f": not {', '.join(unknown)}" if unknown else ""
        pytest.fail(f"the marker ranks takes n, seeds and strategy{told}", pytrace=False)
    number = _params(item).get(_COUNT, _numbers(marker))
    seeds = marker.kwargs.get("seeds", SEEDS)
    for what, value, most in (("n", number, 256), ("seeds", seeds, 10_000_000)):
        if not isinstance(value, int) or not 1 <= value <= most:
            told = f"the marker ranks: {what} is {value!r}, and not from 1 to {most:,}"
            pytest.fail(told, pytrace=False)
    return number, seeds, str(marker.kwargs.get("strategy", "random"))


def _params(item: pytest.Function) -> dict[str, Any]:
    callspec = getattr(item, "callspec", None)
    return {} if callspec is None else dict(callspec.params)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the body on all ranks; None for a test without the marker."""
    marker = pyfuncitem.get_closest_marker("ranks")
    if marker is None:
        return None
    number, seeds, strategy = _asked(pyfuncitem, marker)
    function = pyfuncitem.obj
    names = [name for name in pyfuncitem._fixtureinfo.argnames if name != "ranks"]
    shared = {name: pyfuncitem.funcargs[name] for name in names}
    wants = "ranks" in pyfuncitem._fixtureinfo.argnames

    def body(handle: Any) -> Any:
        return function(**shared, **({"ranks": handle} if wants else {}))

    text = _performed(pyfuncitem, body, number, seeds, strategy)
    if text:
        pytest.fail(text, pytrace=False)
    return True


def _performed(item: pytest.Function, body: Any, number: int, seeds: int, strategy: str) -> str:
    """Run the schedules; the report if one failed."""
    from adpkv.errors import UnendingRankError, UsageError
    from adpkv.rank_programs.bodies import BodySession
    from adpkv.rank_programs.checking import Plan, check, replay
    from adpkv.rank_programs.choices import from_token
    from adpkv.rank_programs.report import render
    from adpkv.rank_programs.session import Settings

    token = item.config.getoption("--adpkv-replay")
    is_async = inspect.iscoroutinefunction(item.obj)
    try:
        session = BodySession(
            item.nodeid, str(item.path), Settings(number), body, is_async=is_async
        )
        with session:
            if token:
                found = replay(session, from_token(token))
            else:
                found = check(session, Plan(seeds, SECONDS, strategy), meets=False)
    except (UsageError, UnendingRankError) as error:
        return str(error)
    report = found.report
    if report is None:
        return ""
    if report.evidence.skipped:
        pytest.skip(report.evidence.skipped)
    return f"{render(report, 100)}\nschedule {report.schedules} of {seeds}, {number} ranks"
