"""docs/library.md and the notebook do what they say: each block is run, in its order."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import adpkv

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python( mpi)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(*, real: bool) -> list[str]:
    """The blocks of the tutorial that take real ranks, or that do not."""
    text = (DOCS / "library.md").read_text(encoding="utf-8")
    return [code for mpi, code in BLOCK.findall(text) if bool(mpi) is real]


def test_the_tutorial_can_be_typed(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    found = blocks(real=False)
    assert len(found) == 9
    # -B: the module that it writes leaves no folder of its own.
    call = [sys.executable, "-B", "-c", "\n".join(found)]
    ended = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "completed: 19" in ended.stdout
    assert "crossed payload in generation-1" in ended.stdout
    assert [path.name for path in tmp_path.rglob("*") if path.is_dir()] == ["runs", "mine"]


def test_the_page_about_experiments_can_be_typed(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    found = BLOCK.findall((DOCS / "experiments.md").read_text(encoding="utf-8"))
    call = [sys.executable, "-c", "\n".join(code for _, code in found)]
    ended = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("{'workload.rate': 10} 0.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.campaign
def test_the_decision_of_the_page_about_experiments_can_be_repeated(tmp_path: Path) -> None:
    """Both commands, their output to the last digit, and the plot."""
    text = (DOCS / "experiments.md").read_text(encoding="utf-8")
    section = text[text.index("## A decision") : text.index("## Searching")]
    shown = re.findall(r"^```\n\$ (adpkv .*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert [one.split()[1] for one in shown] == ["sweep", "compare"]
    for block in shown:
        lines = block.splitlines()
        last = next(at for at, line in enumerate(lines) if not line.endswith("\\"))
        ended = subprocess.run(
            ["sh", "-c", "\n".join(lines[: last + 1])],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )
        assert ended.returncode == 0, ended.stderr
        wanted = [line for line in lines[last + 1 :] if line != "..."]
        assert ended.stdout.splitlines()[: len(wanted)] == wanted
    specification = importlib.util.spec_from_file_location("plots", DOCS / "plots.py")
    assert specification is not None
    assert specification.loader is not None
    plots = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(plots)
    drawing = plots.drawn(adpkv.load_sweep(tmp_path / "runs" / "timeouts"))
    assert drawing == plots.DRAWING.read_text(encoding="utf-8"), "python docs/plots.py FOLDER"


def test_the_readme_is_right_about_python(tmp_path: Path) -> None:
    [(_, code)] = BLOCK.findall((DOCS.parent / "README.md").read_text(encoding="utf-8"))
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("completed 0.")


def test_the_notebook_runs(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(DOCS / "library.ipynb", as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", [])]
    tables = [one for one in outputs if "text/html" in one.get("data", {})]
    assert any("<table>" in one["data"]["text/html"] for one in tables)
    assert list(tmp_path.iterdir()) == []
