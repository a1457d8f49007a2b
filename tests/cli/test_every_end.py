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
