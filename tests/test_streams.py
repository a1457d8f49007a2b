"""Standard output that is closed, full, hung up or without the letters: the outcome stays."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

ADPKV = str(Path(sys.executable).with_name("adpkv"))
EXPERIMENT = """
name: ill
topology: {context: {ranks: 1}, generation: {ranks: 1}}
workload: {kind: script, requests: [{at: 0s, prompt_tokens: 9, output_tokens: 2}]}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("streams") / "ill.yaml"
    path.write_text(EXPERIMENT)
    return path


def _shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


LOST = "adpkv: standard output is lost: No space left on device\n"


@pytest.mark.parametrize(
    ("output", "code", "said"),
    [
        (">/dev/full", 74, LOST),
        ("--json >/dev/full", 74, LOST),
        ("--quiet >/dev/full", 0, ""),
        (">&-", 0, ""),
        (">&- 2>&- <&-", 0, ""),
        ("2>/dev/full >/dev/full", 74, ""),
        ("2>&-", 0, None),
        ("| true; exit ${PIPESTATUS[0]}", 0, ""),
    ],
)
def test_a_run_ends_as_it_ends_and_says_what_of_it_was_lost(
    file: Path, tmp_path: Path, output: str, code: int, said: str | None
) -> None:
    out = tmp_path / "out"
    ended = _shell(f"{ADPKV} simulate {file} --out {out} {output}")
    assert ended.returncode == code, ended.stderr
    if said is not None:
        assert (ended.stdout, ended.stderr) == ("", said)
    else:
        assert "completed: 1 of 1 request completed" in ended.stdout
    assert sorted(path.name for path in out.iterdir()) == [
        "config.yaml", "events.jsonl", "ranks.jsonl", "requests.jsonl", "summary.json",
    ]  # fmt: skip
    assert '"exit_code": 0' in (out / "summary.json").read_text()


@pytest.mark.parametrize("command", ["schema", "configs", "validate quickstart", "--version"])
def test_all_commands_are_alike(command: str) -> None:
    ended = _shell(f"{ADPKV} {command} >/dev/full")
    assert (ended.returncode, ended.stdout, ended.stderr) == (74, "", LOST)


def test_what_went_wrong_stays_what_it_is(file: Path) -> None:
    ended = _shell(f"{ADPKV} validate {file} nobody.yaml >/dev/full")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("adpkv: nobody.yaml: 1 problem")
    assert ended.stderr.endswith(LOST)


def test_messages_that_cannot_be_written_are_written_otherwise(file: Path, tmp_path: Path) -> None:
    command = f"{ADPKV} simulate {file} --out {tmp_path / 'out'}"
    ended = _shell(command, PYTHONIOENCODING="ascii")
    assert ended.returncode == 0, ended.stderr
    assert "0.0 us" in ended.stdout
    assert ended.stderr == ""


def test_an_output_that_does_not_wait_is_waited_for() -> None:
    """A pipe that its reader has made non-blocking, and reads slowly."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    size = fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen([ADPKV, "schema"], stdout=write)
    os.close(write)
    with open(read) as pipe:
        said = pipe.read()
    assert process.wait(60) == 0
    assert len(said) > size
    assert said.endswith("}\n")
