"""What a command imports before it does its work: most of the time of a short one, and other than
a time it can be counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from adpkv.cli.rank import RankCall

NOT_ASKED_FOR = {"numpy", "yaml", "msgspec", "pydantic", "mpi4py", "adpkv.config", "adpkv.core"}
OF_TYPER = {"markdown_it", "pygments", "rich.markdown", "rich.traceback", "importlib.metadata"}
"""What typer loads for a help or a message, without need."""

OTHER_WORLD = {
    *("numpy", "mpi4py", "adpkv.worlds.mpi", "adpkv.flight_recorder", "ctypes", "asyncio"),
    *("importlib.metadata", "email", "zipfile", "pydantic.plugin._loader"),
}
"""What simulating never needs; the second line is how pydantic looks for plugins of its own."""

NOT_OF_QUICKSTART = {
    *(
        "adpkv.field_policies.policy",
        "adpkv.presets",
        "adpkv.traces",
        "adpkv.workload.reading",
        "adpkv.diagnosis.conclude",
        "adpkv.config.kinds",
    ),
    *("adpkv.output.story", "adpkv.results", "adpkv.cli.run", "adpkv.cli.sweep", "adpkv.sweeps"),
}
"""What other experiments need, and other commands."""

SCRIPT = """
import json, os, sys
import adpkv.__main__
for argv in json.loads(sys.argv[1]):
    child = os.fork()
    if child == 0:
        sys.argv = ["adpkv", *argv]
        said = os.dup(1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        try:
            adpkv.__main__.main()
        except SystemExit as end:
            line = json.dumps([end.code, sorted(sys.modules)])
        os.write(said, line.encode() + b"\\n")
        os._exit(0)
    os.waitpid(child, 0)
"""
"""Each command in a child of its own of a process that has imported nothing yet."""


def _imported(*commands: tuple[str, ...]) -> list[tuple[int, set[str]]]:
    """How each command ended, and the modules that were there then."""
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(commands)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [(code, set(modules)) for code, modules in map(json.loads, told.stdout.splitlines())]


def test_helps_and_typing_errors_import_what_they_print_with_and_no_more() -> None:
    helps = [("--help",), ("simulate", "--help"), ("run", "-h"), ("explore", "--help")]
    wrong = [("simulte",), ("simulate", "--sed", "3"), ("--versin",)]
    ended = _imported(*helps, *wrong)
    assert [code for code, _ in ended] == [0] * len(helps) + [2] * len(wrong)
    for argv, (_, modules) in zip([*helps, *wrong], ended, strict=True):
        assert "rich.console" in modules, argv
        assert modules & (NOT_ASKED_FOR | OF_TYPER) == set(), argv


def test_the_version_is_said_without_rich() -> None:
    ((code, modules),) = _imported(("--version",))
    assert code == 0
    assert "adpkv.cli.simulate" not in modules
    assert modules & (NOT_ASKED_FOR | OF_TYPER | {"rich"}) == set()


def test_simulate_imports_what_its_experiment_needs(tmp_path: Path) -> None:
    """Rich, which prints on terminals only, is not there either: what it prints here is a log."""
    ((code, modules),) = _imported(("simulate", "quickstart", "--out", str(tmp_path / "run")))
    assert code == 0
    assert "adpkv.worlds.virtual.world" in modules
    assert modules & (OTHER_WORLD | NOT_OF_QUICKSTART | {"rich"}) == set()
    assert len([name for name in modules if name.startswith("adpkv.")]) < 260


def test_what_an_experiment_needs_is_seen_to_be_imported(tmp_path: Path) -> None:
    """The same look finds what is there."""
    out, sample = str(tmp_path / "run"), ("--set", "workload.limit=3")
    ((code, modules),) = _imported(("simulate", "trace-sample", *sample, "--out", out))
    assert code == 0
    assert {"adpkv.traces", "adpkv.workload.reading"} <= modules


def test_after_a_help_who_wants_all_of_rich_gets_it() -> None:
    """Typer's help loads it without two of its parts; they are the real ones for others."""
    script = (
        "import sys; from adpkv.cli import app as cli\n"
        "try: cli.app(['--help'])\n"
        "except SystemExit: pass\n"
        "print(cli.ALL.built(), file=sys.stderr)\n"
        "from rich.markdown import Markdown; from rich.traceback import Traceback\n"
        "print(Markdown.__module__, Traceback.__module__, file=sys.stderr)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stderr.splitlines() == ["[]", "rich.markdown rich.traceback"]


def test_a_rank_loads_no_command_line(tmp_path: Path) -> None:
    """What reads command lines is most of what it does not need. It ends before MPI: here is no
    such experiment."""
    call = RankCall(str(tmp_path / "none.yaml"), quiet=True).command("job-1")
    script = (
        "import json, sys; sys.argv = json.loads(sys.argv[1])\n"
        "from adpkv.cli.rank import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, *{'typer', 'rich', 'mpi4py'} & set(sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, json.dumps(call[2:])],
        env={**os.environ, "OMPI_COMM_WORLD_RANK": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout == "2\n"
    assert "none.yaml: 1 problem" in ended.stderr
