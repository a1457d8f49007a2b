"""All problems at once, each with path, value and line; and what is no YAML at all."""

from pathlib import Path

import pytest
from config_minimal import POISSON, minimal, problems_in, problems_of, without_line

from adpkv.config import load, parse
from adpkv.config.loading import MAX_FILE_BYTES
from adpkv.errors import ConfigError

WRONG_EVERYWHERE = """\
name: a b
topolgy: {}
topology:
  context: {ranks: 2}
  generation: {ranks: "4"}
executor:
  queue_timeout: 600
  block_tokens: 3
kv_cache:
  blocks: 5
transceiver:
  quarantine_budget: 4
  link: {bandwith: 3GB}
workload:
  kind: poisson
  rate: .nan
  requests: 010
  prompt_tokens: {min: 300, max: 200}
  output_tokens: {min: 3, max: 200}
faults:
  - kind: delay
  - {kind: fial}
policy: {}
policy: {}
"""


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    assert problems_of(tmp_path, WRONG_EVERYWHERE) == (
        "FILE:24: the key 'policy' appears twice",
        "name: must be ASCII letters, digits, dots, dashes and underscores, at most 64 "
        "(found 'a b', line 1)",
        "topolgy: is not known here: did you mean topology? (found a mapping, line 2)",
        "topology.generation.ranks: must be a whole number (found '4', line 5)",
        "executor.queue_timeout: needs a unit: write 600s (units: h, m, s, ms, us, ns) "
        "(found 600, line 7)",
        "executor.block_tokens: is not known here: it belongs to kv_cache (found 3, line 8)",
        "kv_cache.blocks: leaves 4 blocks beside the dummy's, but the longest request of the "
        "workload needs 7 (400 tokens in blocks of 64) (found 5, line 10)",
        "transceiver.max_inflight_transfers_per_peer: must be at most "
        "transceiver.quarantine_budget, which is 4: one wedged peer may not exceed the budget "
        "(found 8 by default, line 11)",
        "transceiver.link.bandwith: is not known here: did you mean bandwidth? "
        "(found '3GB', line 13)",
        "workload.rate: must be a finite number (found nan, line 16)",
        "workload.prompt_tokens.min: must be at most prompt_tokens.max, which is 200 "
        "(found 300, line 18)",
        "faults.0.duration: is required for a delay, and more than 0s "
        "(found null by default, line 21)",
        "faults.1.kind: is not known here: did you mean fail? (found 'fial', line 22)",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "FILE: not YAML: nothing in it"),
        ("# only words\n", "FILE: not YAML: nothing in it"),
        ("a: [\n", "FILE:2: not YAML: while parsing a flow node"),
        ("a: b: c", "FILE:1: not YAML: mapping values are not allowed here"),
        ("a: 1\n---\na: 2\n", "FILE:2: not YAML: expected a single document"),
        ("a: \x00", "FILE: not YAML: unacceptable character #x0000"),
        ("a:\n  " + "[" * 5000, "FILE:2: not YAML: nested more than 64 deep"),
        ("a: " + "[" * 330 + "]" * 330, "FILE:1: not YAML: nested more than 64 deep"),
        ('name: "\\ud800"', "FILE:1: '\\ud800' has a code point that is no character"),
        ('"\\ud800": 1', "FILE:1: the key '\\ud800' has a code point that is no character"),
        ("a: *nobody", "FILE:1: not YAML: found undefined alias 'nobody'"),
        (b"a: 1\nb: \xff\n", "FILE:2: not UTF-8: byte 0xff"),
        ("- 1\n", "must be a mapping of sections (found a list)"),
        ("just words", "must be a mapping of sections (found 'just words')"),
        ("x: &a [*a]", "FILE:1: refers to itself"),
        ("seed: !!python/name:os.system x", "FILE:1: 'x' with the tag"),
        ("seed: !!int four", "FILE:1: 'four' with the tag"),
        ("? [a]\n: 1\n", "FILE:1: a key must be a single word"),
        ("<<: 3\n", "FILE:1: only mappings can be merged with <<"),
    ],
)
def test_what_is_no_experiment_is_told_with_its_line(
    tmp_path: Path, text: str | bytes, problem: str
) -> None:
    assert problems_of(tmp_path, text)[0].startswith(problem)


def test_a_missing_file_is_one_clear_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file") as caught:
        load(tmp_path / "nope.yaml")
    assert caught.value.exit_code == 2
    assert caught.value.source == str(tmp_path / "nope.yaml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, b"#" * (MAX_FILE_BYTES + 1))
    assert problems == ("is no experiment: larger than 1048576 bytes",)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "seed: 1") == (
        "name: is required, and missing",
        "topology: is required, and missing",
        "workload: is required, and missing",
    )


def test_a_missing_key_of_a_section_has_the_sections_line(tmp_path: Path) -> None:
    text = "name: a\ntopology: {context: {ranks: 1}, generation: {}}\nworkload: {kind: trace}\n"
    assert problems_of(tmp_path, text) == (
        "topology.generation.ranks: is required, and missing (line 2)",
    )


@pytest.mark.parametrize(
    ("workload", "problem"),
    [
        ({}, "workload.kind: is required, and missing: 'poisson' or 'closed_loop' or 'trace'"),
        (
            {"kind": "posson"},
            "workload.kind: is not known here: did you mean poisson? (found 'posson')",
        ),
        (3, "workload: must be a mapping of keys to values (found 3)"),
        (
            {"kind": "trace", "users": 3},
            "workload.users: is not known here",
        ),
        ({**POISSON, "sharedprefix": 1}, "workload.sharedprefix: is not known here: did you mean"),
        ({**POISSON, "rate": "fast"}, "workload.rate: must be a number (found 'fast')"),
    ],
)
def test_a_workload_is_judged_by_its_kind(tmp_path: Path, workload: object, problem: str) -> None:
    (told,) = problems_in(tmp_path, minimal(workload=workload))
    assert told.startswith(problem)


def test_a_policy_that_does_not_exist_is_told_the_nearest(tmp_path: Path) -> None:
    (told,) = problems_in(tmp_path, minimal(policy={"on_timeouts": "free"}))
    assert told == "policy.on_timeouts: is not known here: did you mean on_timeout? (found 'free')"


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("transport", "NIXL", "is not known here: did you mean nixl?"),
        ("nixl_backend", "ucx", "is not known here: did you mean UCX?"),
        ("staging", "On", "is not known here: did you mean on?"),
        ("ucx_error_handling", "maybe", "must be true or false"),
    ],
)
def test_what_differs_in_its_case_alone_is_known(
    tmp_path: Path, key: str, value: str, told: str
) -> None:
    (found,) = problems_in(tmp_path, minimal(transceiver={key: value}))
    assert found == f"transceiver.{key}: {told} (found {value!r})"


def test_a_key_that_resembles_nothing_is_told_what_is_known(tmp_path: Path) -> None:
    (told,) = problems_in(tmp_path, minimal(observe={"zzz": 1}))
    known = "events, timeline, timeline_limit, unbounded_wait, verify_at_end, pulse, http"
    known += ", ready_timeout"
    assert told == f"observe.zzz: is not known here; known are {known} (found 1)"


def test_long_values_are_shown_in_part(tmp_path: Path) -> None:
    (told,) = problems_in(tmp_path, minimal(seed="x" * 500))
    assert len(told) < 120
    assert told.endswith("xxx...)")


def test_a_merged_value_has_the_line_where_it_stands(tmp_path: Path) -> None:
    text = (
        "name: a\n"
        "topology:\n"
        "  context: &group\n"
        "    ranks: 0\n"
        "  generation:\n"
        "    <<: *group\n"
        "workload: {kind: trace}\n"
    )
    assert [without_line(p) for p in problems_of(tmp_path, text)] == [
        "topology.context.ranks: must be at least 1 (found 0)",
        "topology.generation.ranks: must be at least 1 (found 0)",
    ]
    assert all(p.endswith("line 4)") for p in problems_of(tmp_path, text))


def test_values_in_memory_are_judged_alike() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(minimal(seed=-1), "a dict")
    assert str(caught.value) == "a dict: 1 problem\n  seed: must be at least 0 (found -1)"


def test_keys_in_memory_that_no_file_could_have_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        parse({**minimal(model={7: 1}), 8: 1}, "a dict")  # type: ignore[dict-item]
    assert sorted(caught.value.problems) == [
        "8: is not known here: keys are text",
        "model.7: is not known here: keys are text",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "faults: [" + ", ".join(["{kind: x}"] * 3000) + "]",
        "a: &a {kind: x}\nfaults: [" + ", ".join(["*a"] * 20_000) + "]",
        "".join(f"key{i}: 1\n" for i in range(3000)),
        "".join("twice: 1\n" for i in range(3000)),
    ],
    ids=["faults", "aliases", "keys", "duplicates"],
)
def test_more_problems_than_anybody_mends_are_counted(tmp_path: Path, text: str) -> None:
    told = problems_of(tmp_path, text)
    assert 1 <= len(told) <= 250


def test_aliases_beyond_all_measure_are_refused(tmp_path: Path) -> None:
    many = "b: &b [" + ", ".join(["*a"] * 1000) + "]"
    text = f"a: &a {{kind: x, count: y}}\n{many}\nfaults: [" + ", ".join(["*b"] * 400) + "]"
    (told,) = problems_of(tmp_path, text)
    assert told.endswith("FILE: not YAML: its aliases make 1,203,406 values; most is 1,000,000")


def test_problems_that_one_mending_would_lead_to_are_told_at_once(tmp_path: Path) -> None:
    told = problems_in(tmp_path, minimal(model={"layers": 4000}))
    assert [line.partition(":")[0] for line in told] == [
        "transceiver.piece",
        "transceiver.post_budget",
    ]


def test_a_bad_value_hides_only_what_reads_it(tmp_path: Path) -> None:
    sections = {
        "model": {"step_base": 5, "layers": 4000},
        "faults": [{"kind": "stall", "ranks": [9]}],
    }
    topology = {"context": {"ranks": 2}, "generation": {"ranks": 2}, "attention": "none"}
    told = problems_in(tmp_path, minimal(topology=topology, **sections))
    assert sorted(line.partition(":")[0] for line in told) == [
        "faults.0.ranks.0",
        "model.step_base",
        "topology.attention",
        "transceiver.piece",
        "transceiver.post_budget",
    ]
