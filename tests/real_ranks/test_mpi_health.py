"""What an orchestrator hears over HTTP of real ranks: well, ill, asleep, failed, ending."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from adpkv.worlds.mpi.launcher.process_tree import ProcessTree

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
FOUR_RANKS = ROOT / "configs" / "four-ranks.yaml"
BOUND_S = 60
"""Beyond anything that a loaded machine makes of a second or two."""

LOOK_S = 0.05
Reasons = list[tuple[str, str, int | None]]


class Health:
    """Asks a job that runs."""

    def __init__(self, address: str, job: subprocess.Popen[str]) -> None:
        self._address, self._job = address, job

    def ask(self, path: str) -> tuple[int, str]:
        """(status, text); status 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://{self._address}{path}", timeout=BOUND_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (urllib.error.URLError, ConnectionError):
            return 0, ""

    def until(
        self,
        path: str,
        code: int,
        wanted: Callable[[Reasons], bool] = lambda reasons: True,
        said: Callable[[dict[str, Any]], bool] = lambda answer: True,
    ) -> dict[str, Any]:
        """The first answer with this status, such reasons and all that is `said`, within a
        bound."""
        until_s = time.monotonic() + BOUND_S
        while True:
            found, text = self.ask(path)
            if found == code:
                answer: dict[str, Any] = json.loads(text)
                if wanted(reasons(answer)) and said(answer):
                    return answer
            assert self._job.poll() is None, self._job.communicate()
            assert time.monotonic() < until_s, f"{path} never said {code}, but {found}: {text}"
            time.sleep(LOOK_S)


def reasons(said: dict[str, Any]) -> Reasons:
    return [(r["reason"], r["instance"], r["rank"]) for r in said["reasons"]]


def run(jobs, address: str, out: Path, file: Path = FOUR_RANKS, *more: str):
    argv = [str(BIN / "adpkv"), "run", str(file), "--quiet", "--out", str(out)]
    for one in (f"observe.http={address}", "workload.requests=100000", *more):
        argv += ["--set", one]
    return jobs.start(argv)


def asleep(jobs, address: str, folder: Path, ranks: tuple[int, int], sleeper: int, hang: str):
    where = [str(folder), address, *map(str, ranks), str(sleeper), hang]
    command = [str(BIN / "mpirun"), "-n", str(sum(ranks)), sys.executable, "-m"]
    return jobs.start([*command, "tests.real_ranks.programs.asleep", *where])


def stop(job: subprocess.Popen[str]) -> None:
    """Ask the ranks to stop, as the launchers do."""
    ProcessTree(job.pid).signal_ranks(signal.SIGINT)


def test_a_run_that_is_well_is_ready_and_shows_its_figures(jobs, address, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # Nothing here is about slowness: no load of this machine may make the ranks late.
    job = run(jobs, address, out, FOUR_RANKS, "observe.ready_timeout=60s", "observe.pulse=100ms")
    health = Health(address, job)
    health.until("/health/ready", 200)
    seen: dict[tuple[str, str], float] = {}
    until_s = time.monotonic() + BOUND_S
    while seen.get(("adpkv_requests_total", "completed"), 0) < 20:
        assert time.monotonic() < until_s, seen
        assert health.ask("/health/ready")[0] == 200
        assert health.ask("/health/live")[0] == 200
        code, page = health.ask("/metrics")
        assert code == 200
        seen = {
            (sample.name, next(iter(sample.labels.values()), "")): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }
        time.sleep(LOOK_S)
    for instance in ("context-0", "generation-1"):
        assert seen["adpkv_iterations_total", instance] > 0
        assert seen["adpkv_collectives_total", instance] > 0
        assert seen["adpkv_instance_healthy", instance] == 1
    assert seen["adpkv_tokens_total", "generation-1"] > 0
    assert seen["adpkv_ready", ""] == 1
    job.send_signal(signal.SIGINT)
    found = jobs.finish(job, BOUND_S)
    assert found.code == 130, found.err
    assert health.ask("/health/live") == (0, ""), "the server is gone with the run"
    assert json.loads((out / "summary.json").read_text())["violations"] == []


@pytest.mark.campaign
def test_a_transfer_that_is_stuck_makes_it_unready(jobs, address, tmp_path: Path) -> None:
    data = yaml.safe_load(FOUR_RANKS.read_text())
    data["executor"]["drain_timeout"] = "4s"
    data["transceiver"] |= {
        "transfer_timeout": "500ms",
        "progress_deadline": "800ms",
        "shutdown_grace": "600s",
    }
    data["faults"] = [{"kind": "stall", "ranks": [1], "count": 1}]
    file = tmp_path / "ill.yaml"
    file.write_text(yaml.safe_dump(data))
    job = run(jobs, address, tmp_path / "out", file)
    health = Health(address, job)
    health.until("/health/ready", 200)
    stuck = ("stuck_in_quarantine", "context-0", 1)
    said = health.until("/health/ready", 503, lambda found: stuck in found)
    assert said["ready"] is False
    told = next(r for r in said["reasons"] if r["rank"] == 1)
    assert told["detail"].startswith("its transceiver is unhealthy in iteration ")
    assert health.ask("/health/live")[0] == 200, "ill, but alive: nothing to kill"
    job.send_signal(signal.SIGINT)
    ending = ("stopping", "", None)
    said = health.until("/health/ready", 503, lambda found: ending in found)
    assert said["reasons"][0]["detail"] == "asked to stop by a signal"
    assert jobs.finish(job, BOUND_S).code == 130


def test_a_rank_that_sleeps_is_named_and_its_waking_heals(jobs, address, tmp_path: Path) -> None:
    job = asleep(jobs, address, tmp_path, (4, 4), 6, "600s")
    health = Health(address, job)
    health.until("/health/ready", 200)
    (tmp_path / "asleep").touch()
    wanted = {
        ("silent", "generation-1", None),
        ("absent", "generation-1", 6),
        *(("stands", "generation-1", rank) for rank in (4, 5, 7)),
    }
    others = ("silent", "context-0", None)
    said = health.until(
        "/health/ready", 503, lambda found: wanted <= set(found) and others not in found
    )
    waiting = next(r for r in said["reasons"] if (r["reason"], r["rank"]) == ("stands", 4))
    assert waiting["detail"].startswith("in tp_allgather at sync, iteration ")
    assert health.ask("/health/live")[0] == 200, "rank 0 is well"
    (tmp_path / "asleep").unlink()
    health.until("/health/ready", 200)
    stop(job)
    assert jobs.finish(job, BOUND_S).code == 130


def test_a_failed_loop_beside_a_living_server_is_503(jobs, address, tmp_path: Path) -> None:
    """Rank 0 is alone in its group, so nobody waits for it in a collective: only this tells."""
    job = asleep(jobs, address, tmp_path, (1, 2), 0, "5s")
    health = Health(address, job)
    health.until("/health/ready", 200)
    health.until("/health/live", 200)
    (tmp_path / "asleep").touch()
    said = health.until("/health/live", 503)
    assert reasons(said) == [("silent", "context-0", 0)]
    assert ("silent", "context-0", None) in reasons(health.until("/health/ready", 503))
    (tmp_path / "asleep").unlink()
    health.until("/health/live", 200)
    stop(job)
    assert jobs.finish(job, BOUND_S).code == 130


@pytest.mark.parametrize("start", [pytest.param("adpkv", marks=pytest.mark.campaign), "mpirun"])
def test_a_port_in_use_is_one_message_and_nothing_is_written(
    jobs, start: str, address, tmp_path: Path
) -> None:
    host, _, port = address.rpartition(":")
    with socket.create_server((host, int(port))):
        call = [str(BIN / "adpkv"), "run", str(FOUR_RANKS), "--set", f"observe.http={address}"]
        if start == "mpirun":
            call = [str(BIN / "mpirun"), "-n", "4", *call]
        found = jobs.finish(jobs.start([*call, "--out", str(tmp_path / "out")]), BOUND_S)
    assert found.code == 2
    assert found.err.count("adpkv:") == 1
    said = f"adpkv: observe.http: cannot serve at {address}: Address already in use"
    assert said in found.err
    assert "Traceback" not in found.err
    assert list(tmp_path.iterdir()) == []
