"""`launch/Dockerfile`, as far as it can be known without a Docker engine."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from dockerfile_parse import DockerfileParser

from adpkv.cli.app import app
from adpkv.config.shipped import shipped_file

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "launch" / "Dockerfile"
KUBERNETES = ROOT / "launch" / "kubernetes"
JOB: dict[str, Any] = yaml.safe_load((KUBERNETES / "mpijob.yaml").read_text())

FROM_PACKAGES = {"sshd": "openssh-server", "ssh": "openssh-client"}
"""Which package of Debian brings a program that is named."""

OF_THE_SYSTEM = {"apt-get", "chown", "echo", "mkdir", "python", "rm", "test", "useradd"}
"""What every image of this kind has."""


def instructions(name: str) -> list[str]:
    with DOCKERFILE.open("rb") as file:
        found = DockerfileParser(fileobj=file).structure
    return [entry["value"] for entry in found if entry["instruction"] == name]


def commands() -> Iterator[list[str]]:
    """Each command of each RUN, without the assignments before it."""
    for value in instructions("RUN"):
        for line in value.split("&&"):
            line = re.sub(r"^\s*\{|;\s*\}\s*$", "", line)
            words = shlex.split(re.sub(r"\w+=(\"\$\(.*?\)\"|\S+)", "", line, count=1))
            if words:
                yield words


def copies() -> Iterator[tuple[dict[str, str], list[str], str]]:
    """(options, sources, target) of each COPY."""
    for value in instructions("COPY"):
        words = value.split()
        options = dict(w[2:].split("=") for w in words if w.startswith("--"))
        *sources, target = [w for w in words if not w.startswith("--")]
        yield options, sources, target


def pods() -> Iterator[dict[str, Any]]:
    for replica in JOB["spec"]["mpiReplicaSpecs"].values():
        yield from replica["template"]["spec"]["containers"]


def test_what_it_copies_is_there() -> None:
    own = [s for options, sources, _ in copies() if "from" not in options for s in sources]
    assert {"adpkv", "configs", "pyproject.toml"} <= set(own)
    assert [source for source in own if not (ROOT / source).exists()] == []


def test_the_build_has_what_the_wheel_is_made_from() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], project["project"]["readme"]}
    needed |= {*project["project"]["license-files"], "pyproject.toml"}
    needed |= {Path(hook["path"]).parts[0] for hook in wheel["hooks"].values()}
    first = [s for options, sources, _ in copies() if not options for s in sources]
    assert needed <= set(first)


def test_the_wheel_is_made_of_what_is_copied(tmp_path: Path) -> None:
    for options, sources, _ in copies():
        for source in sources if not options else []:
            if (ROOT / source).is_dir():
                unwanted = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, tmp_path / source, ignore=unwanted)
            else:
                shutil.copy(ROOT / source, tmp_path)
    call = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    plain = {**os.environ, "ADPKV_COMPILE": ""}
    built = subprocess.run(
        call, cwd=tmp_path, env=plain, capture_output=True, text=True, timeout=120, check=False
    )
    assert built.returncode == 0, built.stderr
    assert len(list(tmp_path.glob("dist/adpkv-*-none-any.whl"))) == 1


def test_what_one_stage_takes_another_has_made() -> None:
    stages = {value.split()[2] for value in instructions("FROM") if len(value.split()) > 1}
    taken = [(o["from"], s) for o, sources, _ in copies() if "from" in o for s in sources]
    assert taken
    built = " ".join(" ".join(words) for words in commands())
    for stage, source in taken:
        assert stage in stages
        assert f"--wheel-dir {source} " in built


def test_the_commands_that_it_runs_exist() -> None:
    names = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    seen = set()
    for program, *rest in commands():
        seen.add(program)
        if program == "adpkv":
            known = {o for p in names[rest[0]].params for o in (*p.opts, *p.secondary_opts)}
            assert {word for word in rest[1:] if word.startswith("--")} <= known
            assert all(shipped_file(w) for w in rest[1:] if not w.startswith("--"))
    assert seen == OF_THE_SYSTEM - {"echo"} | {"adpkv"}


def test_the_wheel_is_installed_with_extras_that_it_has() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert '"${wheel}[${EXTRAS}]"' in " ".join(instructions("RUN"))
    defaults = dict(value.split("=", 1) for value in instructions("ARG"))
    assert defaults["NIXL"] == "", "the image without GPUs is the default"
    extras = defaults["EXTRAS"].split(",")
    on_gpus = re.findall(r"--build-arg EXTRAS=([\w,-]+)", DOCKERFILE.read_text())
    assert len(on_gpus) == 1
    assert {*extras, *on_gpus[0].split(",")} <= set(project["optional-dependencies"])
    assert "mpi" in extras
    least = tuple(map(int, re.findall(r"\d+", project["requires-python"])))
    for image in instructions("FROM"):
        assert re.match(r"python:3\.\d+-slim-bookworm( AS \w+)?$", image)
        assert tuple(map(int, re.findall(r"(\d+)\.(\d+)", image)[0])) >= least


def test_the_pods_find_their_programs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    packages = next(words for words in commands() if words[:2] == ["apt-get", "install"])
    for pod in pods():
        program = Path(pod["command"][0]).name
        if program not in project["scripts"]:
            assert FROM_PACKAGES[program] in packages
    assert {Path(pod["command"][0]).name for pod in pods()} == {"adpkv", "sshd"}
    assert FROM_PACKAGES["ssh"] in packages, "mpirun's way to the workers"


def test_the_launcher_supervises_a_run() -> None:
    launcher = next(pod for pod in pods() if pod["name"] == "launcher")
    program, *options = launcher["command"][:-2]
    assert (program, options[0]) == ("adpkv", "supervise")
    assert launcher["command"][-2:] == ["adpkv", "run"]
    call = [sys.executable, "-c", "from adpkv.cli.app import main; main()", *options, "true"]
    ended = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr.count("supervise: exit code 0")) == (0, 1)


def test_users_and_paths_are_those_of_the_job() -> None:
    (user,) = instructions("USER")
    (home,) = [words for words in commands() if words[0] == "useradd"]
    assert home[home.index("--uid") + 1] == user
    assert {str(pod["securityContext"]["runAsUser"]) for pod in pods()} == {user}
    folder = instructions("WORKDIR")[-1]
    assert {pod["workingDir"] for pod in pods()} == {folder}
    made = next(words for words in commands() if words[0] == "mkdir")
    assert folder in made
    targets = {target for _, _, target in copies()}
    worker = next(pod for pod in pods() if pod["name"] == "worker")
    assert worker["command"][-1] in targets
    assert f"/home/{home[-1]}/.ssh" == JOB["spec"]["sshAuthMountPath"]


def settings(name: str) -> dict[str, str]:
    lines = (KUBERNETES / name).read_text().splitlines()
    pairs = (line.split(None, 1) for line in lines if line.strip() and not line.startswith("#"))
    return dict(pairs)  # type: ignore[arg-type]


def test_both_ends_of_ssh_agree() -> None:
    server, client = settings("sshd_config"), settings("ssh_config")
    assert server["Port"] == client["Port"]
    assert int(server["Port"]) >= 1024, "an ordinary user's"
    assert server["HostKey"].startswith(JOB["spec"]["sshAuthMountPath"])


def test_ssh_understands_its_settings() -> None:
    if shutil.which("ssh") is None:
        pytest.skip("no OpenSSH here")
    asked = ["ssh", "-G", "-F", str(KUBERNETES / "ssh_config"), "worker-0"]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)
    assert told.returncode == 0, told.stderr
    assert "port 2222" in told.stdout.splitlines()


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("no wheel of hadolint for this machine")
    checked = [hadolint, "--format", "json", str(DOCKERFILE)]
    found = subprocess.run(checked, capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(found.stdout) == []
    wrong = subprocess.run(
        [hadolint, "-"], input="FROM x\nRUN cd /", capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 1, "it speaks where there is something to say"
