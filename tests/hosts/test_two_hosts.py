"""Real jobs over two hosts and the link between them."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.hosts.conftest import BIN, LONG, SHARED, Start, left_behind, starting
from tests.hosts.pair import Pair, Slow, pair

DELAY_MS = 3
ASK = """
from urllib.error import HTTPError
from urllib.request import urlopen
try:
    print(urlopen("http://127.0.0.1:9400/health/ready").status)
except HTTPError as error:
    print(error.code)
"""
IMPATIENT = {
    "PRTE_MCA_oob_tcp_keepalive_time": "2",
    "PRTE_MCA_oob_tcp_keepalive_intvl": "1",
    "PRTE_MCA_oob_tcp_keepalive_probes": "2",
}
"""Instead of what `adpkv run` sets: a lost host is missed after four seconds."""


@pytest.mark.campaign
def test_a_job_over_two_hosts_can_be_looked_at_from_each(start: Start, hosts: Pair) -> None:
    """Health is on the first host's loopback, and knows of both; `inspect` sees the ranks of the
    host that it runs on; a signal to the parent drains all, and nothing is left on either."""
    job = start(LONG, "observe.http=127.0.0.1:9400")
    job.served()
    job.until("readiness", lambda: hosts.first.do(str(BIN / "python"), "-c", ASK) == "200\n")
    for host, ranks in [(hosts.first, [0, 1]), (hosts.second, [2, 3])]:
        assert sorted(host.ranks()) == ranks
        said = json.loads(host.do(str(BIN / "adpkv"), "inspect", str(job.out), "--json"))
        seen = [(rank["rank"], rank["host"], rank["process"]) for rank in said["ranks"]]
        assert seen == [(rank, host.name, "alive") for rank in ranks]
        assert said["size"] == 4
    job.process.send_signal(signal.SIGTERM)
    found = job.finish()
    assert found.code == 143, found.err
    assert job.summary()["violations"] == []
    assert left_behind(hosts) == []


def test_a_slow_link_that_loses_packets(can_be_made: None, tmp_path: Path) -> None:
    """Every collective and half of the KV go over it. Where a connection begins, TCP sends what was
    lost again after one second and after three: that is no hang."""
    with pair(tmp_path, Slow(DELAY_MS, 1, 0.01)) as hosts, starting(hosts, tmp_path) as start:
        job = start("workload.requests=15", "diagnosis.hang_timeout=15s", spread=True)
        found = job.finish()
        assert found.code == 0, found.err
        summary = job.summary()
        assert summary["requests"]["completed"] + summary["requests"]["cancelled"] == 15
        assert summary["violations"] == []
        assert summary["collectives"]["mean_us"] > 1e3 * DELAY_MS
        assert left_behind(hosts) == []


@pytest.mark.parametrize("policy", [pytest.param("shutdown", marks=pytest.mark.campaign), "shrink"])
def test_a_rank_fails_on_the_other_host(start: Start, hosts: Pair, policy: str) -> None:
    """Each group is on both hosts, so it is met from the other one when it fails."""
    requests = LONG if policy == "shutdown" else "workload.requests=60"
    # Beside other tests a recovery over both hosts may take longer than the 3 s of these jobs.
    patient = "diagnosis.hang_timeout=15s"
    job = start(requests, f"on_rank_failure={policy}", SHARED, patient, spread=True)
    job.served()
    os.kill(hosts.second.ranks()[3], signal.SIGKILL)
    found = job.finish()
    assert found.code == (5 if policy == "shutdown" else 0), found.err
    assert job.summary()["lost"] == [3]
    assert job.summary()["collectives"]["over"] == "shared_memory"
    assert left_behind(hosts) == []


def test_a_cut_within_groups_is_a_deadlock_on_both_sides(start: Start, hosts: Pair) -> None:
    """Each side's watchdogs end the ranks of their host: no word gets through. The parent does not
    wait for mpirun, which waits for the other side. Where the others were last is known by their
    slots."""
    job = start(LONG, "diagnosis.hang_timeout=1500ms", SHARED, spread=True)
    job.served()
    hosts.cut()
    found = job.finish()
    assert found.code == 3, found.err
    assert "adpkv: missing participant in " in found.err
    assert "does not answer, last in" in found.err
    assert json.loads((job.out / "deadlock.json").read_text())["error"] == "deadlock"
    job.gone(hosts.second)


def test_a_cut_between_groups_ends_the_ranks_of_both_sides(start: Start, hosts: Pair) -> None:
    """Each group goes on by itself, so no watchdog sees it: it is mpirun that misses its host."""
    job = start(LONG, **IMPATIENT)
    job.served()
    hosts.cut()
    found = job.finish()
    assert found.code == 5, found.err
    for host in hosts.hosts:
        job.gone(host)


@pytest.mark.campaign
def test_a_link_that_is_cut_while_ranks_start_is_no_success(start: Start, hosts: Pair) -> None:
    """In MPI's own start nobody has a watchdog yet."""
    job = start(**IMPATIENT)
    job.until("ranks", lambda: len(hosts.first.ranks()) == len(hosts.second.ranks()) == 2)
    hosts.cut()
    found = job.finish()
    assert found.code == 5, found.err
    assert not (job.out / "summary.json").exists()
    for host in hosts.hosts:
        job.gone(host)
