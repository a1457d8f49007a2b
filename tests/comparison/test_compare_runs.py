"""Runs side by side: sides, figures, requests that ended differently, refusals."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest

import adpkv
from adpkv.comparison.compare import compare_runs
from adpkv.comparison.showing import show_comparison
from adpkv.comparison.sides import read_sides
from tests.output.window import watch

STALLS = {
    "workload.requests": 40,
    "faults": [{"kind": "stall", "probability": 0.1, "duration": "10s"}],
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("swept") / "s"
    adpkv.sweep(
        "quickstart",
        set=STALLS,
        vary={"transceiver.transfer_timeout": ["1s", "20s"]},
        seeds=3,
        out=out,
        keep=True,
    )
    return out


def folders(swept: Path, point: int) -> list[Path]:
    return [swept / "runs" / f"point-{point}-seed-{seed}" for seed in (1, 2, 3)]


def test_runs_that_differ_in_their_seed_alone_are_one_side(swept: Path) -> None:
    by_folder = read_sides([*folders(swept, 1), *folders(swept, 2)])
    assert [side.label for side in by_folder] == [
        "transceiver.transfer_timeout=1s",
        "transceiver.transfer_timeout=20s",
    ]
    assert [side.seeds for side in by_folder] == [[1, 2, 3], [1, 2, 3]]
    of_sweep = read_sides([swept])
    assert [(side.label, side.seeds) for side in of_sweep] == [
        (side.label, side.seeds) for side in by_folder
    ]


def test_numbers_are_as_people_write_them(tmp_path: Path) -> None:
    """A rate of 10 had become 10.0, and next to nothing -0.00%."""
    few = {"workload.requests": 20}
    for name, rate in (("a", 10), ("b", 10.5), ("c", 10.0001)):
        adpkv.simulate("quickstart", set={**few, "workload.rate": rate}, out=tmp_path / name)
    stream = io.StringIO()
    show_comparison(stream, compare_runs([tmp_path / name for name in "abc"], ["simulated_s"]))
    shown = stream.getvalue().splitlines()
    labels = [line.split("(")[0].split()[1] for line in shown[:3]]
    assert labels == ["workload.rate=10", "workload.rate=10.5", "workload.rate=10.0001"]
    (row,) = [line for line in shown if line.startswith("simulated")]
    assert row.split()[-1] == "~0%"
    assert "-0.00%" not in row


def test_a_run_without_a_summary_is_told_as_such(tmp_path: Path) -> None:
    for name in ("a", "b"):
        adpkv.simulate("quickstart", set={"workload.requests": 5}, out=tmp_path / name)
    (tmp_path / "a" / "summary.json").unlink()
    stream = io.StringIO()
    show_comparison(stream, compare_runs([tmp_path / "a", tmp_path / "b"]))
    assert "the run was killed, or is still at work" in " ".join(stream.getvalue().split())


def test_a_summary_that_lacks_something_is_refused(swept: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        adpkv.simulate("quickstart", set={"workload.requests": 5}, out=tmp_path / name)
    summary = tmp_path / "a" / "summary.json"
    found = json.loads(summary.read_bytes())
    del found["broken_off"]
    summary.write_text(json.dumps(found))
    with pytest.raises(adpkv.UsageError, match=r"a/summary\.json: .* no summary .*`broken_off`"):
        read_sides([tmp_path / "a", tmp_path / "b"])

    cut = tmp_path / "s"
    shutil.copytree(swept, cut)
    journal = cut / "runs.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    del lines[1]["summary"]["broken_off"]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(adpkv.UsageError, match=r"s: point \d, seed \d: .* no summary"):
        read_sides([cut])


def test_two_runs_of_one_experiment_are_a_side_each(swept: Path) -> None:
    sides = read_sides(folders(swept, 1)[:2])
    assert [(side.label, side.seeds) for side in sides] == [
        (str(folders(swept, 1)[0]), [1]),
        (str(folders(swept, 1)[1]), [2]),
    ]


def test_what_changed_and_where_the_stories_part(swept: Path) -> None:
    found = compare_runs([swept])
    rows = {row.column: row for row in found.figures}
    timed_out = rows["requests.timed_out"]
    by_hand = [adpkv.load_run(folder).summary.requests.timed_out for folder in folders(swept, 1)]
    assert timed_out.means == (sum(by_hand) / 3, 0.0)
    (gap,) = timed_out.differences
    assert gap is not None
    assert (gap.value, gap.sure) == (-1.0, True)
    (pairs,) = found.requests
    assert sum(len(pair.changed) for pair in pairs) == sum(by_hand)
    assert {(c.before, c.after) for pair in pairs for c in pair.changed} == {
        ("timed_out", "completed")
    }
    (parted,) = found.partings
    first = parted[0]
    assert first.shared is not None
    assert "hears that" in first.shared
    assert first.first is not None
    assert "transfer in doubt, its blocks are kept: it took too long" in first.first
    assert first.other is not None
    assert first.other != first.first


def test_equal_runs_have_no_differences(swept: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    experiment = adpkv.load(folders(swept, 1)[0] / "config.yaml")
    adpkv.simulate(experiment, out=again)
    found = compare_runs([folders(swept, 1)[0], again])
    assert {one.value for row in found.figures for one in row.differences if one} == {0.0}
    ((pair,),) = found.requests
    assert (pair.matched, pair.changed, pair.unmatched) == (40, (), 0)


def test_other_workloads_have_no_requests_in_common(swept: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    adpkv.simulate("quickstart", set={**STALLS, "seed": 9}, out=other)
    found = compare_runs([folders(swept, 1)[0], other])
    ((pair,),) = found.requests
    assert pair.matched < 5
    assert pair.unmatched == 80 - 2 * pair.matched


def test_what_holds_of_all_sides_is_said_once(swept: Path, tmp_path: Path) -> None:
    """That the runs left no folders stood there for each point; and what to do did not."""
    sides = [*folders(swept, 1)[:1], *folders(swept, 2)[:1]]
    for rate in (1, 2):
        sides.append(tmp_path / f"{rate}")
        other = {"workload.requests": 1, "workload.rate": rate, "seed": 8}
        adpkv.simulate("quickstart", set={**STALLS, **other}, out=sides[-1])
    said = io.StringIO()
    show_comparison(said, compare_runs(sides))
    requests = [line for line in said.getvalue().splitlines() if line.startswith("requests of")]
    assert requests == ["requests of A and C, D: none is in both, the workloads differ"]
    said = io.StringIO()
    show_comparison(said, compare_runs([*folders(swept, 1)[:2], *folders(swept, 2)[2:]]))
    assert said.getvalue().splitlines()[-1] == (
        "requests of A and B: not known, no run has the seed of one on the other side"
    )
    adpkv.sweep(
        "quickstart",
        set={"workload.requests": 2},
        vary={"workload.rate": [1, 2, 3]},
        out=tmp_path / "s",
    )
    said = io.StringIO()
    show_comparison(said, compare_runs([tmp_path / "s"]))
    assert said.getvalue().splitlines()[-1] == (
        "requests: not known, the runs left no folders (adpkv sweep --keep keeps them)"
    )


def test_it_fits_a_narrow_window(swept: Path) -> None:
    adpkv_command = str(Path(sys.executable).with_name("adpkv"))
    code, lines, _ = watch([adpkv_command, "compare", str(swept)], 50)
    assert code == 0
    assert any(line.startswith("requests timed out") for line in lines)
    assert any("-100.0% *" in line for line in lines)
    assert "    B: " in {line[:7] for line in lines}


def test_what_cannot_be_compared(swept: Path, tmp_path: Path) -> None:
    one = folders(swept, 1)[0]
    with pytest.raises(adpkv.UsageError, match="one run alone cannot be compared"):
        compare_runs([one])
    with pytest.raises(adpkv.UsageError, match=r"there is no config\.yaml, so this is no run's"):
        compare_runs([one, tmp_path])
    with pytest.raises(adpkv.UsageError, match="is given twice"):
        compare_runs([swept, swept])
    with pytest.raises(adpkv.UsageError, match="'ttft' is no figure of a run: did you mean ttft_p"):
        compare_runs([swept], ["ttft"])
    old = tmp_path / "old"
    adpkv.simulate("quickstart", set={"workload.requests": 2}, out=old)
    summary = json.loads((old / "summary.json").read_text())
    (old / "summary.json").write_text(json.dumps(summary | {"adpkv": "0.0.9"}))
    with pytest.raises(adpkv.UsageError, match=r"made by adpkv 0\.0\.9, and this is"):
        compare_runs([one, old])
    (old / "summary.json").write_text("[]")
    with pytest.raises(adpkv.UsageError, match="made by another version"):
        compare_runs([one, old])
