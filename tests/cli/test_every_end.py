"""Every run that was accepted leaves `summary.json`, and `--json` prints it, however it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.forked import adpkv

ROOT = Path(__file__).parents[2]
REGRESSIONS = "configs/regressions"
HOST_DIES = """
name: host-fails
topology: {context: {ranks: 1}, generation: {ranks: 1}}
workload: {kind: script, requests: [{at: 0s, prompt_tokens: 64, output_tokens: 400, times: 3}]}
faults: [{kind: sigkill, ranks: [0], after: 100ms}]
"""
ILL = """
name: ill
topology: {context: {ranks: 1}, generation: {ranks: 1}}
transceiver: {progress_deadline: 1s, transfer_timeout: 500ms}
workload:
  kind: script
  requests:
    - {at: 0s, prompt_tokens: 64, output_tokens: 4, times: 3}
    - {at: 60s, prompt_tokens: 64, output_tokens: 4}
faults: [{kind: stall}]
"""


LATE = (
    "adpkv: violation: 1 of 2 requests completed, 1 timed out in 0.2 s of virtual time (",
    "; 1 violation, the first of kind write_after_free on rank 1 at 0.156 s: bytes for lease 2"
    " landed in block 1, which lease 0 holds now. Files: {}",
)
SURVIVED = (
    "adpkv: rank_lost: 0 of 3 requests completed, 3 failed in ",
    "; rank 1 failed. Files: {}",
)


@pytest.mark.parametrize(
    ("experiment", "code", "told"),
    [
        (f"{REGRESSIONS}/08-late-write.yaml", 4, LATE),
        (HOST_DIES.replace("[0], after", "[1], after"), 5, SURVIVED),
        (
            ILL,
            75,
            ("adpkv: unhealthy: ", "; unhealthy: no_progress, stuck_in_quarantine. Files: {}"),
        ),
    ],
    ids=["violation", "rank_lost", "unhealthy"],
)
def test_also_quiet_a_bad_end_is_told_in_a_line(
    experiment: str, code: int, told: tuple[str, str], tmp_path: Path
) -> None:
    file, out = Path(experiment), tmp_path / "out"
    if "\n" in experiment:
        file = tmp_path / "experiment.yaml"
        file.write_text(experiment)
    ended = adpkv(ROOT, "simulate", file, "--quiet", "--out", out)
    assert (ended.returncode, ended.stdout) == (code, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(told[0])
    assert line.endswith(told[1].format(out))
    # Who reads the summary is told there.
    assert adpkv(ROOT, "simulate", file, "--quiet", "--json", "--out", out).stderr == ""


@pytest.mark.parametrize(
    ("experiment", "code", "broken_off"),
    [
        ("configs/quickstart.yaml", 0, False),
        (f"{REGRESSIONS}/03-gate-that-differs-by-one-block.yaml", 3, True),
        (f"{REGRESSIONS}/08-late-write.yaml", 4, False),
        (HOST_DIES, 5, True),
        (ILL, 75, False),
    ],
    ids=["completed", "deadlock", "violation", "rank_lost", "unhealthy"],
)
def test_simulate_prints_its_summary(
    experiment: str, code: int, broken_off: bool, tmp_path: Path
) -> None:
    file = Path(experiment)
    if "\n" in experiment:
        file = tmp_path / "experiment.yaml"
        file.write_text(experiment)
    out = tmp_path / "out"
    ended = adpkv(ROOT, "simulate", file, "--json", "--out", out)
    assert ended.returncode == code, ended.stderr
    said = json.loads(ended.stdout)
    assert said == json.loads((out / "summary.json").read_text())
    assert said["exit_code"] == code
    assert (said["broken_off"] is not None) is broken_off
    if broken_off:
        assert said["broken_off"]["unanswered"] > 0
        assert said["broken_off"]["why"]
        assert said["iterations"] > 0
