"""`adpkv.run` from a program: real ranks, and the same result as `simulate`'s."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

import adpkv
from adpkv.exit_codes import ExitCode
from adpkv.flight_recorder.processes import descendants, living_state, start_ticks
from tests.library.by_name import site
from tests.library.test_documents import blocks

__all__ = ["site"]


@pytest.mark.campaign
@pytest.mark.usefixtures("mpirun")
def test_after_its_time_the_ranks_agree_to_stop(tmp_path: Path) -> None:
    result = adpkv.run(
        "four-ranks", set={"workload.requests": 100_000}, out=tmp_path / "out", timeout_s=6
    )
    assert result.exit_code == ExitCode.SIGTERM
    assert result.folder == tmp_path / "out"
    assert result.summary.requests.never_arrived


BUSY = {"workload.requests": 100_000, "workload.users": 64, "model.step_base": "100us"}
"""Events reach the disk in batches: so many of them that the first is there in a moment."""

INTERRUPTED = f"""
import adpkv, sys
adpkv.run("four-ranks", set={BUSY}, out=sys.argv[1])
"""


def test_ctrl_c_in_the_program_ends_the_ranks_too(jobs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = jobs.start([sys.executable, "-c", INTERRUPTED, str(out)])
    until_s = time.monotonic() + 60
    while not any(part.stat().st_size for part in out.glob("events.*.part")):
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < until_s
        time.sleep(0.05)
    below = {pid: start_ticks(pid) for pid in descendants(job.pid)}
    os.kill(job.pid, signal.SIGINT)
    found = jobs.finish(job, 60)
    assert found.code == -signal.SIGINT
    assert "KeyboardInterrupt" in found.err
    states = {living_state(pid, ticks) for pid, ticks in below.items()}
    assert states.isdisjoint({"alive", "stopped"})
    assert adpkv.load_run(out).exit_code == ExitCode.SIGTERM


@pytest.mark.campaign
def test_a_killed_run_is_a_result_too(jobs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    argv = [str(Path(sys.executable).with_name("adpkv")), "run", "four-ranks", "--quiet"]
    argv += [word for key, value in BUSY.items() for word in ("--set", f"{key}={value}")]
    argv += ["--out", str(out)]
    job = jobs.start(argv)
    until_s = time.monotonic() + 60
    while not any(part.stat().st_size for part in out.glob("events.*.part")):
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < until_s
        time.sleep(0.05)
    for pid in [job.pid, *descendants(job.pid)]:
        os.kill(pid, signal.SIGKILL)
    job.wait()
    result = adpkv.load_run(out)
    assert (result.outcome, result.summary.world) == ("rank_lost", "mpi")
    assert result.summary.broken_off is not None
    assert result.events


def test_what_the_tutorial_says_of_real_ranks_can_be_typed(jobs, tmp_path: Path) -> None:
    [code] = blocks(real=True)
    job = jobs.start([sys.executable, "-c", f"import adpkv\n{code}"], cwd=tmp_path)
    found = jobs.finish(job, 90)
    assert found.code == 0, found.err
    assert list(tmp_path.iterdir()) == []


NOTED = """
import burst_and_co
from pathlib import Path

def memory(setting):
    Path(__file__).with_name(f"memory-{setting.world}-{setting.rank}").touch()
    return burst_and_co.memory(setting)

def link(setting):
    Path(__file__).with_name(f"link-{setting.world}-{setting.rank}").touch()
    return burst_and_co.link(setting)
"""


@pytest.mark.usefixtures("mpirun")
def test_a_program_runs_real_ranks_from_any_thread_and_all_five_ports_go_by_name(
    site: Path,
) -> None:
    import burst_and_co  # type: ignore[import-not-found]

    (site / "noted.py").write_text(NOTED)
    found: list[adpkv.Result] = []
    before = signal.getsignal(signal.SIGINT)

    def called() -> None:
        found.append(
            adpkv.run(
                "four-ranks",
                workload=functools.partial(burst_and_co.Burst, total=12),
                model=functools.partial(burst_and_co.Constant, step_ms=2),
                policy="last_rank",
                memory="noted:memory",
                transport="noted:link",
                timeout_s=90,
            )
        )

    thread = threading.Thread(target=called)
    thread.start()
    thread.join(120)
    [result] = found
    assert signal.getsignal(signal.SIGINT) is before
    assert (result.outcome, result.summary.world, result.folder) == ("completed", "mpi", None)
    assert list(result.violations) == []
    assert result.events.of(3)
    assert result.summary.simulated_s is None
    assert {(one.prompt_tokens, one.output_tokens) for one in result.requests} == {(64, 4)}
    taken = Counter(one.generation_rank for one in result.requests)
    assert taken.most_common(1)[0][0] == 3, "the last of those that have room"
    assert taken[3] > len(result.requests) / 2
    assert result.summary.transfers.completed == len(result.requests) == 12
    # Three steps of two milliseconds behind the first token: what the model says, and no less.
    assert min(one.ended_ns - one.first_token_ns for one in result.requests) >= 6_000_000
    made = {path.name for path in site.glob("*-mpi-*")}
    assert made == {f"{what}-mpi-{rank}" for what in ("memory", "link") for rank in range(4)}


REFUSES = """
import burst_and_co

def link(setting):
    if setting.rank:
        raise ValueError("no such network here")
    return burst_and_co.link(setting)
"""


def test_a_transport_that_cannot_be_made_is_reported_once(jobs, site: Path, tmp_path: Path) -> None:
    (site / "refuses.py").write_text(REFUSES)
    argv = [str(Path(sys.executable).with_name("adpkv")), "run", "four-ranks", "--quiet"]
    argv += ["--set", "transceiver.transport=refuses:link", "--out", str(tmp_path / "out")]
    found = jobs.finish(jobs.start(argv, cwd=site), 60)
    assert found.code == ExitCode.USAGE
    assert found.err.strip().splitlines() == [
        "adpkv: rank 1: transceiver.transport: refuses:link raised ValueError: no such network here"
        " (refuses.py:6)"
    ]
    assert not (tmp_path / "out").exists()


BREAKS = """
import burst_and_co

def of_link(setting):
    link = burst_and_co.link(setting)
    link.post = broken
    return link

def of_memory(setting):
    memory = burst_and_co.memory(setting)
    memory.verify = broken
    return memory

def broken(*given):
    raise ValueError("no idea")
"""


@pytest.mark.parametrize(
    ("key", "factory", "call"),
    [
        ("transceiver.transport", "breaks:of_link", "post"),
        ("kv_cache.memory", "breaks:of_memory", "verify"),
    ],
)
def test_what_a_port_of_ones_own_raises_is_told_as_its_own(
    jobs, site: Path, tmp_path: Path, key: str, factory: str, call: str
) -> None:
    (site / "breaks.py").write_text(BREAKS)
    argv = [str(Path(sys.executable).with_name("adpkv")), "run", "four-ranks", "--quiet"]
    argv += ["--set", f"{key}={factory}", "--out", str(tmp_path / "out")]
    found = jobs.finish(jobs.start(argv, cwd=site), 60)
    assert found.code == ExitCode.USAGE
    assert f"{key}: {factory}: {call} raised ValueError: no idea (breaks.py:15)" in found.err
    assert "Traceback" not in found.err
