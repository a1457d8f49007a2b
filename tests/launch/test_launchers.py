"""What the launchers for one machine, Slurm and Kubernetes promise, as far as one machine shows."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from adpkv.config import load
from adpkv.config.address import host_and_port
from adpkv.output.http import HttpServer, json_answer

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
SBATCH = LAUNCH / "slurm.sbatch"
GPU_SBATCH = LAUNCH / "slurm-gpu.sbatch"
BOUND_S = 90
SHORT = ("workload.requests=20", "workload.rate=100", "model.step_base=2ms")
FEW_RANKS = ("topology.context.ranks=1", "topology.generation.ranks=2")

ENVIRONMENT = ROOT / ".venv" / "bin"
needs_environment = pytest.mark.skipif(
    not (ENVIRONMENT / "adpkv").exists() or not (ENVIRONMENT / "mpirun").exists(),
    reason="the launchers use the repository's .venv: make setup",
)


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def launched(command: list[str], out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the quickstart in a short version."""
    argv = [*command, "--out", str(out), "--quiet"]
    for one in (*SHORT, *more):
        argv += ["--set", one]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=BOUND_S)


CAMPAIGN = pytest.mark.campaign


@pytest.mark.usefixtures("mpirun")
@needs_environment
@pytest.mark.parametrize(
    "file", [[], pytest.param(["configs/quickstart.yaml"], marks=CAMPAIGN)], ids=["no file", "file"]
)
def test_local_runs_the_quickstart(file: list[str], tmp_path: Path) -> None:
    address = free_address()
    command = [str(LAUNCH / "local.sh"), *file]
    ended = launched(command, tmp_path / "out", f"observe.http={address}", *FEW_RANKS)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.endswith("supervise: exit code 0 (completed): not restarted, final\n")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["requests"]["submitted"] == 20
    assert load(tmp_path / "out" / "config.yaml").observe.http == address


@pytest.mark.usefixtures("mpirun")
@needs_environment
@pytest.mark.parametrize(
    "script", [pytest.param(SBATCH, marks=CAMPAIGN), GPU_SBATCH], ids=lambda path: path.name
)
def test_the_slurm_script_runs_what_it_is_given(script: Path, tmp_path: Path) -> None:
    """Without Slurm: what it does is a shell's affair until mpirun asks for the nodes. The one for
    GPUs hands over to the other, so that one call shows both."""
    ended = launched(["bash", str(script), "quickstart"], tmp_path / "out", *FEW_RANKS)
    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["ranks"] == 3


@pytest.mark.parametrize("script", [SBATCH, GPU_SBATCH], ids=lambda path: path.name)
def test_the_slurm_script_without_a_file_says_how_to_call_it(script: Path) -> None:
    ended = subprocess.run(["bash", script], capture_output=True, text=True, timeout=BOUND_S)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"usage: sbatch launch/{script.name} FILE")


@pytest.mark.parametrize(
    "name",
    [
        "local.sh",
        "make_venv.sh",
        "slurm.sbatch",
        "slurm-gpu.sbatch",
        "../adpkv/worlds/mpi/launcher/mpirun.sh",
    ],
)
def test_shells_understand_their_scripts(name: str) -> None:
    script = LAUNCH / name
    shell = "bash" if script.read_text().startswith("#!/bin/bash") else "sh"
    checked = subprocess.run([shell, "-n", script], capture_output=True, text=True, timeout=BOUND_S)
    assert (checked.returncode, checked.stderr) == (0, "")
    if shellcheck := shutil.which("shellcheck"):
        checked = subprocess.run(
            [shellcheck, "--severity=warning", script],
            capture_output=True,
            text=True,
            timeout=BOUND_S,
        )
        assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", ["local.sh", "slurm.sbatch", "slurm-gpu.sbatch"])
def test_scripts_can_be_executed(name: str) -> None:
    assert (LAUNCH / name).stat().st_mode & 0o111 == 0o111


# -- Slurm -------------------------------------------------------------------------------------

SBATCH_OPTIONS = {
    # Of man sbatch (Slurm 22.05): what a job like ours may want, and what its values look like.
    "account": r"\S+",
    "cpus-per-task": r"[1-9]\d*",
    "exclusive": "",
    "gpu-bind": r"none|closest|single:\d+",
    "gres": r"gpu(:[a-z]\w*)?:[1-9]\d*",
    "job-name": r"\S+",
    "mem-per-cpu": r"\d+[KMGT]?",
    "no-requeue": "",
    "nodes": r"[1-9]\d*(-[1-9]\d*)?",
    "ntasks": r"[1-9]\d*",
    "ntasks-per-node": r"[1-9]\d*",
    "output": r"\S+",
    "partition": r"\S+",
    "signal": r"([RB]{1,2}:)?(\d+|[A-Z0-9]+)(@\d{1,5})?",
    "time": r"(\d+-)?\d{1,2}(:\d{2}){0,2}",
}


def sbatch_options(text: str) -> dict[str, str]:
    """What sbatch reads: lines before the first command."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if line.startswith("#SBATCH"):
            option = re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", line)
            assert option is not None, line
            found[option[1]] = option[2] or ""
    return found


@pytest.mark.parametrize("script", [SBATCH, GPU_SBATCH], ids=lambda path: path.name)
def test_sbatch_knows_the_options(script: Path) -> None:
    text = script.read_text()
    found = sbatch_options(text)
    assert len(found) == text.count("\n#SBATCH"), "one of them stands behind the first command"
    for name, value in found.items():
        assert re.fullmatch(SBATCH_OPTIONS[name], value), f"--{name}={value}"


def test_the_slurm_job_has_a_task_for_each_rank() -> None:
    ranks = load(ROOT / "configs" / "quickstart.yaml").topology.ranks
    assert int(sbatch_options(SBATCH.read_text())["ntasks"]) == ranks


def test_the_slurm_job_has_a_gpu_for_each_rank() -> None:
    found = sbatch_options(GPU_SBATCH.read_text())
    per_node, nodes = int(found["ntasks-per-node"]), int(found["nodes"])
    assert per_node * nodes == load(ROOT / "configs" / "quickstart.yaml").topology.ranks
    assert int(found["gres"].rpartition(":")[2]) == per_node
    assert found["gpu-bind"] == "none", "a rank sees the devices of those that it writes to"


# -- Kubernetes --------------------------------------------------------------------------------

MPIJOB = LAUNCH / "kubernetes" / "mpijob.yaml"
SCHEMA = Path(__file__).with_name("mpijob_schema.yaml")


def replica(job: dict[str, Any], name: str) -> dict[str, Any]:
    return job["spec"]["mpiReplicaSpecs"][name]


def container(job: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = replica(job, name)["template"]["spec"]["containers"]
    return found


@pytest.fixture
def job() -> dict[str, Any]:
    return yaml.safe_load(MPIJOB.read_text())


def problems(job: dict[str, Any]) -> list[str]:
    schema = yaml.safe_load(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    errors = jsonschema.Draft202012Validator(schema).iter_errors(job)
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in errors]


def test_the_mpijob_keeps_to_the_operators_schema(job: dict[str, Any]) -> None:
    assert problems(job) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["spec", "slotsPerWorkers"], 4),
        (["spec", "slotsPerWorker"], "4"),
        (["spec", "runPolicy", "cleanPodPolicy"], "Always"),
        (["spec", "mpiReplicaSpecs", "Launcher", "replicas"], 2),
        (["spec", "mpiReplicaSpecs", "Worker", "restartPolicy"], "Always"),
        (["spec", "mpiReplicaSpecs", "Launcher", "template", "spec", "containers"], []),
        (["metadata", "name"], "Not_A_Label"),
    ],
)
def test_a_wrong_mpijob_is_seen(job: dict[str, Any], path: list[str], value: object) -> None:
    place = job
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert problems(job) != []


def test_the_mpijob_has_a_slot_for_each_rank(job: dict[str, Any]) -> None:
    spec = job["spec"]
    pods = replica(job, "Worker")["replicas"] + int(spec["runLauncherAsWorker"])
    ranks = load(ROOT / "configs" / "quickstart.yaml").topology.ranks
    assert spec["slotsPerWorker"] * pods == ranks


def test_what_the_pods_mount_is_there(job: dict[str, Any]) -> None:
    for name in ("Launcher", "Worker"):
        volumes = replica(job, name)["template"]["spec"]["volumes"]
        mounts = container(job, name)["volumeMounts"]
        assert {mount["name"] for mount in mounts} == {volume["name"] for volume in volumes}
        assert container(job, name)["workingDir"] in {mount["mountPath"] for mount in mounts}


def probes(job: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    launcher = container(job, "Launcher")
    for key, path in (("readinessProbe", "/health/ready"), ("livenessProbe", "/health/live")):
        yield path, launcher[key]["exec"]["command"]


def served(job: dict[str, Any]) -> str:
    """The address that the launcher's command says."""
    (address,) = re.findall(r"observe\.http=(\S+)", " ".join(container(job, "Launcher")["args"]))
    return address


@pytest.mark.parametrize(("status", "code"), [(HTTPStatus.OK, 0), (503, 1)])
def test_the_probes_ask_rank_0_and_hear_what_it_says(
    job: dict[str, Any], status: int, code: int
) -> None:
    theirs, ours = served(job), free_address()
    assert host_and_port(theirs)[0] == "127.0.0.1"
    for path, command in probes(job):
        assert f"http://{theirs}{path}" in command[-1]
        server = HttpServer(ours)
        server.start({path: lambda _: json_answer(status, {})})
        argv = [sys.executable, *command[1:-1], command[-1].replace(theirs, ours)]
        asked = subprocess.run(argv, capture_output=True, timeout=BOUND_S)
        server.close()
        assert asked.returncode == code, asked.stderr


def test_a_probe_outlasts_the_pauses_of_supervise(job: dict[str, Any]) -> None:
    command, probe = container(job, "Launcher")["command"], container(job, "Launcher")
    longest_s = float(command[command.index("--most") + 1])
    live = probe["livenessProbe"]
    assert live["periodSeconds"] * live["failureThreshold"] > longest_s


# -- Kubernetes with GPUs ------------------------------------------------------------------------

GPUS = LAUNCH / "kubernetes" / "gpu" / "kustomization.yaml"


def patched(job: dict[str, Any]) -> dict[str, Any]:
    """What kustomize makes of the job: `replace` at a path that must be there (RFC 6902)."""
    (patch,) = yaml.safe_load(GPUS.read_text())["patches"]
    assert patch["target"] == {"kind": job["kind"], "name": job["metadata"]["name"]}
    for step in yaml.safe_load(patch["patch"]):
        place: Any = job
        *path, last = [int(w) if w.isdigit() else w for w in step["path"].split("/")[1:]]
        for key in path:
            place = place[key]
        assert step["op"] == "replace"
        assert place[last] is not None
        place[last] = step["value"]
    return job


def test_the_job_on_gpus_has_one_for_each_rank(job: dict[str, Any]) -> None:
    job = patched(job)
    assert problems(job) == []
    for name in ("Launcher", "Worker"):
        limits = container(job, name)["resources"]["limits"]
        assert int(limits["nvidia.com/gpu"]) == job["spec"]["slotsPerWorker"]
        assert container(job, name)["image"].endswith("-cuda12")


def test_kustomize_finds_what_it_builds_on() -> None:
    base = yaml.safe_load((LAUNCH / "kubernetes" / "kustomization.yaml").read_text())
    (built_on,) = yaml.safe_load(GPUS.read_text())["resources"]
    assert (GPUS.parent / built_on / "kustomization.yaml").samefile(
        MPIJOB.parent / "kustomization.yaml"
    )
    assert base["resources"] == [MPIJOB.name]
