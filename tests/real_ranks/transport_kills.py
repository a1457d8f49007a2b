"""Ranks killed in the middle of transfers, over each transport: `make kills-transports`.

    python -m tests.real_ranks.transport_kills FOLDER [KILLS] [SEED] [TRANSPORT...]

So many kills for each transport under each policy. Every third job of `nixl` and `ucx` uses TCP
within the host, where bytes of a killed rank are still on their way; where NIXL cannot have its
back end over TCP alone, as beside a GPU, that is said, and it uses what it chooses. The program
ends with 1 if a job did not end as it has to: another code, a hang, a violation (so a wrong byte),
a request without its one answer, a block in doubt or lost.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from adpkv.worlds.mpi.launcher.process_tree import ProcessTree
from adpkv.worlds.mpi.launcher.startup import RANKS, Stage, stage_of

POLICIES: Final = ("shutdown", "shrink")
BOUND_S: Final = 90.0
LOOK_S: Final = 0.01
MOST_LATER_S: Final = 2.0
"""After the first rank runs."""

EXPERIMENT: Final = """
name: transport-kills
topology: {context: {ranks: 2}, generation: {ranks: 2}}
on_rank_failure: POLICY
transceiver: {transport: TRANSPORT, transfer_timeout: 20s}
executor: {drain_timeout: 5s, max_batch_size: 32}
kv_cache: {block_tokens: 64, blocks: 256}
model: {layers: 8, kv_heads: 4, head_dim: 128, time_scale: 0.1}
workload:
  kind: closed_loop
  users: 12
  requests: REQUESTS
  prompt_tokens: {min: 200, max: 600}
  output_tokens: {min: 4, max: 12}
observe: {verify_at_end: true}
"""
"""1 MiB a block, 4 to 10 MiB a transfer, so that a kill meets some in the middle."""


OVER_TCP: Final = {"UCX_TLS": "tcp,self"}
AGENT: Final = """
from adpkv.transport.nixl_agent import library
module, version = library()
module.nixl_agent("probe", module.nixl_agent_config(enable_prog_thread=False, backends=["UCX"]))
"""


def without_tcp(transport: str) -> str:
    """Why this transport cannot use TCP alone here; empty if it can."""
    if transport != "nixl":
        return "it uses no UCX" if transport == "mpi" else ""
    asked = subprocess.run(
        [sys.executable, "-c", AGENT],
        env=os.environ | OVER_TCP, capture_output=True, text=True, timeout=BOUND_S, check=False,
    )  # fmt: skip
    return (
        (asked.stderr.strip().splitlines() or ["no reason given"])[-1] if asked.returncode else ""
    )


def started(folder: Path, transport: str, policy: str, *, tcp: bool) -> subprocess.Popen[str]:
    """One job."""
    folder.mkdir(parents=True)
    requests = "300" if policy == "shrink" else "100000"
    text = EXPERIMENT.replace("POLICY", policy).replace("REQUESTS", requests)
    (folder / "kills.yaml").write_text(text.replace("TRANSPORT", transport))
    environment = os.environ | (OVER_TCP if tcp else {})
    return subprocess.Popen(
        [sys.executable, "-m", "adpkv", "run", str(folder / "kills.yaml"), "--quiet",
         "--out", str(folder / "out")],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def kill_one(job: subprocess.Popen[str], victim: int, later_s: float) -> str:
    """Kill a rank so long after the job has begun; what kept it from that."""
    until_s = time.monotonic() + BOUND_S
    tree = ProcessTree(job.pid)
    while Stage.RUN not in map(stage_of, tree.ranks()):
        if job.poll() is not None or time.monotonic() > until_s:
            return "it did not begin"
        time.sleep(LOOK_S)
    time.sleep(later_s)
    found = {tree.launcher_number(pid, RANKS): pid for pid in tree.ranks()}
    if victim not in found:
        return f"rank {victim} was not there to be killed"
    with suppress(ProcessLookupError):
        os.kill(found[victim], signal.SIGKILL)
    return ""


def wrong_with(folder: Path, code: int, policy: str, victim: int) -> list[str]:
    """What is wrong with the end of a job."""
    summary = json.loads((folder / "out" / "summary.json").read_text())
    problems = []
    wanted = 0 if policy == "shrink" else 5
    if (code, summary["exit_code"]) != (wanted, wanted):
        problems.append(f"code {code}, {summary['exit_code']} in the summary, not {wanted}")
    if summary["lost"] != [victim]:
        problems.append(f"lost {summary['lost']}")
    problems += [str(violation) for violation in summary["violations"][:3]]
    requests = summary["requests"]
    records = [json.loads(line) for line in (folder / "out" / "requests.jsonl").open()]
    answered = sum(requests[kind] for kind in ("completed", "failed", "cancelled", "timed_out"))
    if len(records) != answered or any(record["responses"] > 1 for record in records):
        problems.append(f"{len(records)} answers for {answered} requests")
    if policy == "shrink" and requests["completed"] + requests["failed"] != requests["submitted"]:
        problems.append(f"requests {requests}")
    if in_doubt := summary["transfers"]["quarantined_now"]:
        problems.append(f"{in_doubt} transfers in doubt")
    for name, blocks in summary["blocks"].items():
        if policy == "shrink" and blocks["free"] + blocks["cached"] != blocks["total"]:
            problems.append(f"{name}: blocks {blocks}")
    return problems


def killed(
    folder: Path, transport: str, policy: str, victim: int, later_s: float, tcp: bool
) -> str:
    """One job, in which one rank is killed; what was wrong with its end."""
    job = started(folder, transport, policy, tcp=tcp)
    try:
        problem = kill_one(job, victim, later_s)
        _, said = job.communicate(timeout=BOUND_S)
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, signal.SIGKILL)  # its own group, made by `started`
        job.communicate()
        return f"no end within {BOUND_S:g} s"
    if problem or "Traceback" in said:
        return f"{problem or 'a traceback'}\n{said}"
    if not (folder / "out" / "summary.json").exists():
        return f"code {job.returncode}, and no summary\n{said}"
    problems = wrong_with(folder, job.returncode, policy, victim)
    if not problems:
        shutil.rmtree(folder)
    return "\n".join(problems)


def main() -> int:
    folder, kills, seed, *transports = [
        *sys.argv[1:],
        *("runs/kills", "30", "1")[len(sys.argv) - 1 :],
    ]
    draws, wrong = random.Random(int(seed)), 0
    for transport in transports or ("mpi", "nixl", "ucx"):
        lacks = without_tcp(transport)
        if lacks:
            print(f"{transport}: no job over TCP alone: {lacks}", flush=True)
        for policy in POLICIES:
            for number in range(int(kills)):
                victim, later_s = draws.randrange(1, 4), draws.uniform(0, MOST_LATER_S)
                tcp = not lacks and number % 3 == 2
                place = Path(folder) / transport / policy / str(number)
                problem = killed(place, transport, policy, victim, later_s, tcp)
                wrong += bool(problem)
                how = f"{'tcp, ' if tcp else ''}rank {victim} after {later_s:.2f} s"
                print(f"{transport} {policy} {number}, {how}: {problem or 'fine'}", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
