"""A find as a regression: a file that is kept, and a test that plays it.

A find under a policy of the field, without choices of a schedule, is an experiment like those in
`configs/regressions`: it gets a `regression` section with what must be seen before and after. Any
other find is kept as it is, and its test says that nothing is wrong with it any more.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final, NamedTuple

from adpkv.config import Experiment, dump, parse
from adpkv.errors import CollectiveMismatchError, StuckError, UsageError
from adpkv.exploration.cases import Case
from adpkv.exploration.replay_file import Recorded, file_text
from adpkv.exploration.trial import assemble_for
from adpkv.worlds.virtual.in_memory import InMemory, simulate_in_memory

__all__ = ["Files", "regression_files"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Files(NamedTuple):
    """What is to be written: name and text of each file."""

    kept: tuple[str, str]
    test: tuple[str, str]


def regression_files(recorded: Recorded, name: str) -> Files:
    """The files of a regression of this name.

    Raises:
        UsageError: it is no name.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--as-regression {name}: ASCII letters, digits, dots, dashes and underscores,"
            " at most 64"
        )
    stem = re.sub(r"\W", "_", name).lower()
    case = recorded.case
    historical = bool(case.experiment.policy.historical())
    if historical and case.choose() is None:
        text = _HEAD.format(found=recorded.signature) + dump(_with_section(recorded, name))
        test = _REGRESS_TEST.format(name=name, stem=stem)
    else:
        text = file_text(recorded)
        test = _REPLAY_TEST.format(name=name, stem=stem, found=recorded.signature)
    return Files((f"{name}.yaml", text), (f"test_found_{stem}.py", test))


_HEAD: Final = "# Found by `adpkv explore`: {found}\n\n"

_REGRESS_TEST: Final = '''"""The find {name}: as the policy had it, and as the contract holds it."""

from __future__ import annotations

from pathlib import Path

from adpkv.field_policies import assembly
from adpkv.regressions.catalogue import choose, read
from adpkv.regressions.running import examine


def test_{stem}_holds(tmp_path: Path) -> None:
    scenarios = choose(read(Path(__file__).parent), ["{name}"], "virtual")
    results = list(examine(scenarios, "virtual", assembly, tmp_path, lambda *_: None))
    assert [one for one in results if not one.held] == []
'''

_REPLAY_TEST: Final = '''"""The find {name} ({found}): nothing is wrong with its run any more."""

from __future__ import annotations

from pathlib import Path

from adpkv.exploration.replay_file import read_replay
from adpkv.exploration.trial import attempt

FILE = Path(__file__).with_name("{name}.yaml")


def test_{stem}_is_no_find_any_more() -> None:
    found = attempt(read_replay(str(FILE)).case).found
    assert found == (), f"adpkv replay {{FILE}}"
'''


def _with_section(recorded: Recorded, name: str) -> Experiment:
    case = recorded.case
    section: dict[str, Any] = {
        "id": name,
        "title": recorded.signature,
        "before": {"virtual": _seen(case)},
        "after": _seen(_under_contract(case)),
    }
    data = case.experiment.model_dump(by_alias=True, mode="json")
    return parse(data | {"name": name, "regression": section}, name)


def _under_contract(case: Case) -> Case:
    data = case.experiment.model_dump(by_alias=True, mode="json")
    del data["policy"]
    return replace(case, experiment=parse(data, case.experiment.name))


def _seen(case: Case) -> dict[str, Any]:
    """What an expectation says of this run."""
    ran = simulate_in_memory(case.experiment, assemble=assemble_for(case.experiment))
    summary: dict[str, Any] = ran.summary
    if isinstance(ran.error, StuckError):
        return {"error": _word(ran.error), "places": _places(ran)}
    found: dict[str, Any] = {}
    kinds = list(dict.fromkeys(one["kind"] for one in summary["violations"]))
    if kinds:
        found["violations"] = [{"kind": kind} for kind in kinds]
    if summary["outcome"] not in ("completed", "violation"):
        found["outcome"] = summary["outcome"]
    counts = summary["requests"]
    told = {key: counts[key] for key in ("cancelled", "timed_out", "failed") if counts[key]}
    if told:
        found["requests"] = told
    if doubtful := summary["transfers"]["quarantined_now"]:
        found["quarantined"] = doubtful
    return found


def _word(error: StuckError) -> str:
    return "mismatch" if isinstance(error, CollectiveMismatchError) else "deadlock"


def _places(ran: InMemory) -> list[dict[str, Any]]:
    assert ran.error is not None
    by_place: dict[tuple[str, str], list[int]] = {}
    for place in getattr(ran.error, "places", ()):
        by_place.setdefault((place.kind, place.site), []).append(place.rank)
    return [
        {"ranks": ranks, "kind": kind, "site": site} for (kind, site), ranks in by_place.items()
    ]
