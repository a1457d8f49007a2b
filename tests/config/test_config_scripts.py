"""Scripts and regressions in a file: every relation at its edge, and one bad entry among others."""

from pathlib import Path
from typing import Any

import pytest
from config_minimal import minimal, problems_in

from adpkv.config import dump, parse

ONE: dict[str, Any] = {"at": "0s", "prompt_tokens": 100, "output_tokens": 10}
BEFORE: dict[str, Any] = {"virtual": {"error": "deadlock"}}


def script(*requests: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return minimal(workload={"kind": "script", "requests": list(requests)}, **sections)


def regression(**keys: Any) -> dict[str, Any]:
    return minimal(regression={"id": "1", "title": "x", "before": BEFORE} | keys)


HOLDS = [
    script(ONE, kv_cache={"blocks": 3}),
    script(ONE, transceiver={"max_inflight_blocks_per_peer": 2}),
    script({**ONE, "wanted": 1}),
    script({**ONE, "times": 2, "every": "0s"}),
    script({**ONE, "prompt_tokens": 1 << 20, "invalid": True}),
    regression(),
    regression(before={"mpi": {"violations": [{"kind": "leak", "ranks": [3]}], "also": ["leak"]}}),
    regression(before={"virtual": {"quarantined": "1.."}}, after={"requests": {"failed": "2..3"}}),
    regression(before={"virtual": {"error": "rank_lost", "ranks": [0], "says": "gone"}}),
]

BROKEN: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    (script(), ("workload.requests: must not be empty (found a list)",)),
    (
        minimal(workload={"kind": "script"}, kv_cache={"blocks": 1}),
        (
            "workload.requests: is required, and missing",
            "kv_cache.blocks: must be at least 2 (found 1)",
        ),
    ),
    (
        script(ONE, {"at": 3, "prompt_tokens": 1, "output_tokens": 1}, {**ONE, "wanted": 2}),
        (
            "workload.requests.1.at: needs a unit: write 3s (units: h, m, s, ms, us, ns) (found 3)",
            "workload.requests.2.wanted: is no rank that every instance has: they have 2 (found 2)",
        ),
    ),
    (
        script(ONE, {**ONE, "output_tokens": 29}, kv_cache={"blocks": 3}),
        (
            "workload.requests.1: needs 3 blocks (129 tokens in blocks of 64), but kv_cache.blocks "
            "leaves 2 beside the dummy's (found a mapping)",
        ),
    ),
    (
        script(ONE, transceiver={"max_inflight_blocks_per_peer": 1}),
        (
            "workload.requests.0.prompt_tokens: makes a transfer of 2 blocks; "
            "max_inflight_blocks_per_peer is 1 (found 100)",
        ),
    ),
    (
        script(
            {**ONE, "wanted": 0},
            topology={
                "context": {"ranks": 2},
                "generation": {"ranks": 2},
                "attention": "replicated",
            },
        ),
        (
            "workload.requests.0.wanted: must be left out: topology.attention is replicated, so "
            "every rank has each request (found 0)",
        ),
    ),
    (
        script({**ONE, "every": "1s"}),
        (
            "workload.requests.0.every: means nothing for one request: give times, or leave it out "
            "(found '1s')",
        ),
    ),
    (
        script({**ONE, "promt_tokens": 1}),
        (
            "workload.requests.0.promt_tokens: is not known here: did you mean prompt_tokens? "
            "(found 1)",
        ),
    ),
    (
        regression(before={}),
        (
            "regression.before: must say for virtual or mpi, or both, what must be seen "
            "(found a mapping)",
        ),
    ),
    (
        regression(before={"mpi": {}, "virtual": {"error": "none"}}),
        (
            "regression.before.mpi: must say what goes wrong: this is a clean run "
            "(found a mapping)",
            "regression.before.virtual: must say what goes wrong: this is a clean run "
            "(found a mapping)",
        ),
    ),
    (
        regression(
            before={"virtual": {"violations": [{"kind": "leak", "ranks": [4]}], "says": "x"}},
            after={"places": [{"ranks": [0]}], "ranks": [9]},
        ),
        (
            "regression.before.virtual.says: needs an error whose message contains it (found 'x')",
            "regression.before.virtual.violations.0.ranks.0: is no rank: the topology has 4, "
            "from 0 (found 4)",
            "regression.after.places: need an error that has them: mismatch or deadlock or "
            "livelock (found a list)",
            "regression.after.ranks: need an error that names some: rank_failed or rank_lost "
            "(found a list)",
            "regression.after.ranks.0: is no rank: the topology has 4, from 0 (found 9)",
        ),
    ),
    (
        regression(before={"virtual": {"error": "mismatch", "places": [{"ranks": []}]}}),
        (
            "regression.before.virtual.places.0.ranks: must name the ranks that are there "
            "(found a list)",
        ),
    ),
    (
        regression(id="a b", titel="x", before={"virtual": {"quarantined": "5..2"}}),
        (
            "regression.id: must be ASCII letters, digits, dots, dashes and underscores, at most"
            " 64 (found 'a b')",
            "regression.before.virtual.quarantined: ends before it begins (found '5..2')",
            "regression.titel: is not known here: did you mean title? (found 'x')",
        ),
    ),
    (
        regression(before={"virtual": {"requests": {"failed": "many", "timed_out": -1}}}),
        (
            "regression.before.virtual.requests.timed_out: must be a count such as 3, or a range "
            "such as 2..5 or 2.. (found -1)",
            "regression.before.virtual.requests.failed: must be a count such as 3, or a range "
            "such as 2..5 or 2.. (found 'many')",
        ),
    ),
]


@pytest.mark.parametrize("data", HOLDS)
def test_what_fits_is_taken_and_survives_a_dump(data: dict[str, Any]) -> None:
    from adpkv.config.document import read

    experiment = parse(data, "test")
    again = read(dump(experiment)).data
    assert isinstance(again, dict)
    assert parse(again, "dump") == experiment


@pytest.mark.parametrize(("data", "told"), BROKEN)
def test_what_does_not_fit_is_told(
    tmp_path: Path, data: dict[str, Any], told: tuple[str, ...]
) -> None:
    assert sorted(problems_in(tmp_path, data)) == sorted(told)
