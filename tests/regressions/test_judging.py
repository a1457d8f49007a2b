"""Every kind of deviation is told, and nothing else is: the judge has no favourites."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adpkv.config.regression import ExpectationConfig
from adpkv.errors import Place
from adpkv.regressions.judging import deviations, told
from adpkv.regressions.seen import Seen

TOTAL = 10
CLEAN = Seen(
    requests={
        "submitted": 10,
        "completed": 10,
        "cancelled": 0,
        "timed_out": 0,
        "failed": 0,
        "refused": 0,
    }
)
MISMATCH = Seen(
    error="mismatch",
    message="generation-1: ranks differ\n  rank 1 ...",
    places=(Place(1, "tp_gather", "flush", 7), Place(2, "step", "forward", 7)),
    outcome="deadlock",
)
LEAK = replace(CLEAN, violations=(("leak", 3),), outcome="violation", leaked=2)
FAILED = Seen(
    error="rank_failed", message="rank 5: assertion", ranks=(5,), outcome="internal_error"
)
LOST = Seen(
    error="rank_lost",
    ranks=(5,),
    outcome="rank_lost",
    requests={
        "submitted": 4,
        "completed": 1,
        "cancelled": 0,
        "timed_out": 0,
        "failed": 3,
        "refused": 0,
    },
)


def requests(**counts: int) -> dict[str, int]:
    ended = {"cancelled": 0, "timed_out": 0, "failed": 0, "refused": 0} | counts
    return {"submitted": TOTAL, "completed": TOTAL - sum(counts.values()), **ended}


def place(*ranks: int, **where: str) -> dict[str, Any]:
    return {"ranks": ranks, **where}


AS_EXPECTED: list[tuple[dict[str, Any], Seen]] = [
    ({}, CLEAN),
    ({"error": "mismatch"}, MISMATCH),
    ({"error": "mismatch", "says": "ranks differ"}, MISMATCH),
    (
        {
            "error": "mismatch",
            "places": [
                place(1, kind="tp_gather"),
                place(2, site="forward", kind="step"),
                place(1, 2),
            ],
        },
        MISMATCH,
    ),
    ({"error": "rank_failed", "ranks": [5]}, FAILED),
    ({"error": "rank_failed"}, FAILED),
    ({"error": "rank_lost", "ranks": [5], "requests": {"failed": "1.."}}, LOST),
    ({"violations": [{"kind": "leak"}]}, LEAK),
    ({"violations": [{"kind": "leak", "ranks": [3]}]}, LEAK),
    ({"also": ["leak"]}, LEAK),
    ({"also": ["leak"]}, CLEAN),
    ({"outcome": "unhealthy", "also": ["leak"]}, LEAK),
    ({"outcome": "unhealthy"}, replace(CLEAN, outcome="unhealthy", requests=requests())),
    (
        {"outcome": "unhealthy"},
        replace(CLEAN, outcome="unhealthy", requests={**requests(), "submitted": 4}),
    ),
    ({"requests": {"timed_out": 2}}, replace(CLEAN, requests=requests(timed_out=2))),
    ({"requests": {"failed": "1..2"}}, replace(CLEAN, requests=requests(failed=1))),
    ({"quarantined": "1.."}, replace(CLEAN, quarantined=5)),
]

OTHERWISE: list[tuple[dict[str, Any], Seen, list[str]]] = [
    # A before that does not fail, or fails otherwise.
    ({"error": "mismatch"}, CLEAN, ["expected mismatch, saw none: it ended completed"]),
    (
        {"error": "deadlock"},
        MISMATCH,
        ["expected deadlock, saw mismatch (generation-1: ranks differ)"],
    ),
    (
        {"violations": [{"kind": "leak"}]},
        MISMATCH,
        [
            "broke off: mismatch (generation-1: ranks differ)",
            "expected leak, which was not seen",
        ],
    ),
    ({"error": "deadlock"}, Seen(error="endless"), ["expected deadlock, saw endless"]),
    # At another place, of another rank, with other words.
    (
        {"error": "mismatch", "places": [place(1, 2, 3, kind="tp_gather", site="poll")]},
        MISMATCH,
        [
            "expected rank 1 in tp_gather at poll, it was in tp_gather at flush",
            "expected rank 2 in tp_gather at poll, it was in step at forward",
            "expected rank 3 in tp_gather at poll, it is not named",
        ],
    ),
    (
        {"error": "mismatch", "says": "left alone"},
        MISMATCH,
        ["expected an error that says 'left alone', it said: generation-1: ranks differ"],
    ),
    (
        {"error": "rank_failed", "ranks": [4, 5, 7]},
        FAILED,
        ["expected ranks 4-5, 7, saw rank 5"],
    ),
    # Other violations, or elsewhere, or none.
    ({"violations": [{"kind": "leak"}]}, CLEAN, ["expected leak, which was not seen"]),
    (
        {"violations": [{"kind": "leak", "ranks": [1, 3]}]},
        LEAK,
        ["expected leak on ranks 1, 3, seen on rank 3"],
    ),
    (
        {"violations": [{"kind": "wrong_kv"}], "also": ["leak"]},
        LEAK,
        ["expected wrong_kv, which was not seen"],
    ),
    (
        {"error": "mismatch", "also": ["wrong_kv"]},
        replace(MISMATCH, violations=(("leak", 2), ("wrong_kv", 1))),
        ["leak on rank 2"],
    ),
    # An after that breaks.
    ({"error": "rank_lost"}, LOST, ["expected 0 requests failed, saw 3"]),
    ({}, LOST, ["broke off: rank_lost"]),
    ({}, MISMATCH, ["broke off: mismatch (generation-1: ranks differ)"]),
    ({}, FAILED, ["broke off: rank_failed (rank 5: assertion)"]),
    ({}, LEAK, ["leak on rank 3"]),
    ({}, replace(CLEAN, leaked=2), ["2 blocks leaked"]),
    ({}, replace(CLEAN, outcome="unhealthy"), ["expected to end completed, ended unhealthy"]),
    (
        {"outcome": "unhealthy"},
        CLEAN,
        ["expected to end unhealthy, ended completed"],
    ),
    (
        {},
        replace(CLEAN, requests=requests(timed_out=2, failed=1)),
        ["expected 0 requests timed out, saw 2", "expected 0 requests failed, saw 1"],
    ),
    (
        {"requests": {"timed_out": "3..5", "completed": 10}},
        replace(CLEAN, requests=requests(timed_out=2)),
        ["expected 10 requests completed, saw 8", "expected 3..5 requests timed out, saw 2"],
    ),
    (
        {},
        replace(CLEAN, requests={**requests(), "submitted": 4}),
        ["4 of 10 requests were answered"],
    ),
    (
        {"quarantined": 12},
        replace(CLEAN, quarantined=11),
        ["expected 12 transfers in doubt at the end, there are 11"],
    ),
    ({}, replace(CLEAN, quarantined=1), ["expected 0 transfers in doubt at the end, there are 1"]),
]


@pytest.mark.parametrize(("expected", "seen"), AS_EXPECTED)
def test_what_is_as_expected_deviates_in_nothing(expected: dict[str, Any], seen: Seen) -> None:
    assert deviations(ExpectationConfig.model_validate(expected), seen, TOTAL) == []


@pytest.mark.parametrize(("expected", "seen", "found"), OTHERWISE)
def test_what_is_otherwise_is_told(expected: dict[str, Any], seen: Seen, found: list[str]) -> None:
    assert deviations(ExpectationConfig.model_validate(expected), seen, TOTAL) == found


def test_a_long_message_is_cut() -> None:
    seen = replace(MISMATCH, message="x" * 500)
    (found,) = deviations(ExpectationConfig(), seen, TOTAL)
    assert len(found) < 160
    assert found.endswith("...)")


@pytest.mark.parametrize(
    ("expected", "line"),
    [
        ({"error": "deadlock"}, "deadlock"),
        (
            {
                "error": "mismatch",
                "places": [place(3, kind="tp_gather", site="flush"), place(1, 2)],
            },
            "mismatch: rank 3 in tp_gather at flush, ranks 1-2",
        ),
        ({"error": "rank_failed", "ranks": [5], "says": "no block"}, "rank 5 failed; “no block”"),
        ({"error": "rank_lost"}, "a rank lost"),
        (
            {"violations": [{"kind": "leak", "ranks": [1]}, {"kind": "wrong_kv"}]},
            "leak on rank 1; wrong_kv",
        ),
        ({"requests": {"timed_out": "9..12", "failed": "0.."}}, "9..12 timed out"),
        ({"outcome": "unhealthy", "quarantined": 2}, "unhealthy; 2 in doubt"),
    ],
)
def test_an_expectation_fits_in_a_line(expected: dict[str, Any], line: str) -> None:
    assert told(ExpectationConfig.model_validate(expected)) == line
