"""The texts tell the truth, as far as a machine can see: what they name is there, what is made
from the code is up to date."""

import ast
import importlib.util
import re
import tomllib
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from adpkv.cli.app import app
from adpkv.config import load
from adpkv.core.columns import COLUMNS
from adpkv.core.session import TABLES, Event, Role, State
from adpkv.errors import UsageError
from adpkv.exit_codes import OUTCOMES
from adpkv.output import Tally, build_summary

ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

ARCHITECTURE = ROOT / "docs" / "architecture.md"
MAP = ROOT / "docs" / "map.md"
OUTPUTS = ROOT / "docs" / "outputs.md"

COLUMNS_OF_TEXT = 100
"""Prose wraps here; tables, code and what a command prints do not."""

texts = pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
documents = pytest.mark.parametrize(
    "text", [text for text in TEXTS if text.name != "CHANGELOG.md"], ids=lambda path: path.name
)
"""What is true now. A changelog names what was."""


@pytest.fixture(scope="module")
def diagrams() -> ModuleType:
    spec = importlib.util.spec_from_file_location("diagrams", ROOT / "docs" / "diagrams.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table that begins with this line."""
    lines = text[text.index(heading) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@texts
def test_links_lead_somewhere(text: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text.read_text(encoding="utf-8"))
    own = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert {target for target in own if not (text.parent / target).exists()} == set()


@texts
def test_anchors_are_headings(text: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", text.read_text(encoding="utf-8"))
    own = [link for link in links if not re.match(r"[a-z]+:", link[0])]
    wrong = [
        f"{file}#{anchor}"
        for file, anchor in own
        if anchor not in _anchors(text.parent / file if file else text)
    ]
    assert wrong == []


def _anchors(text: Path) -> set[str]:
    """What the headings of a text are called in links to them, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", text.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


def test_documents_that_the_code_names_exist() -> None:
    folders = [ROOT / name for name in ("adpkv", "configs", "launch", "tests")]
    files = sorted(chain(*(folder.rglob("*.*") for folder in folders)))
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        if path.suffix in {".py", ".yaml", ".sh", ".sbatch"}
        for name in re.findall(r"\bdocs/[\w-]+\.md\b", path.read_text(encoding="utf-8"))
        if not (ROOT / name).exists()
    ]
    assert wrong == []


@documents
def test_prose_wraps(text: Path) -> None:
    assert _long_lines(text.read_text(encoding="utf-8")) == []


def test_a_long_line_is_found_in_prose_alone() -> None:
    long = "word " * 21
    code = f"```\n{long}\n```\n\n    {long}\n"
    assert _long_lines(f"{long}\n\n- item\n  {long}\n") == [1, 4]
    assert _long_lines(f"| {long} |\n\n{code}\n[a](https://{'x' * 120})\n") == []


def _long_lines(text: str) -> list[int]:
    """The numbers of lines of prose that do not wrap. What has no blank cannot."""
    found, in_code, before = [], False, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        indented = line.startswith("    ") and (not before or before.startswith("    "))
        prose = not (in_code or indented or line.startswith("|"))
        if prose and len(line) > COLUMNS_OF_TEXT and " " in line.strip():
            found.append(number)
        before = line
    return found


def test_the_reading_path_has_eight_files() -> None:
    """Each of them a module, in the overview; it stays an overview."""
    text = ARCHITECTURE.read_text(encoding="utf-8")
    path = text[text.index("## Read these eight files") :]
    named = re.findall(r"^\d\. `(adpkv/[\w/]+\.py)`", path, re.MULTILINE)
    assert len(named) == 8
    assert all((ROOT / name).is_file() for name in named)
    assert len(text.splitlines()) <= 130


@texts
def test_paths_that_are_named_exist(text: Path) -> None:
    named = re.findall(
        r"`((?:adpkv|configs|docs|launch|tests)/[\w./-]*)`", text.read_text(encoding="utf-8")
    )
    assert not [path for path in named if not (ROOT / path).exists()]


@pytest.fixture(scope="module")
def classes() -> dict[str, set[str]]:
    """Every class of adpkv, and the names in its body."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "adpkv").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, set()).update(*map(_names, node.body))
    return found


def _names(line: ast.stmt) -> list[str]:
    if isinstance(line, ast.FunctionDef | ast.AsyncFunctionDef):
        return [line.name]
    targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


@documents
def test_classes_and_members_that_are_named_exist(text: Path, classes: dict[str, set[str]]) -> None:
    shown = text.read_text(encoding="utf-8")
    named = re.findall(
        r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+|[A-Z]\w*[a-z](?=\.[a-z_]))(?:\.(\w+))?[`(]", shown
    )
    assert [name for name, _ in named if name not in classes] == []
    assert [f"{n}.{m}" for n, m in named if m and m not in classes[n]] == []


@texts
def test_commands_and_their_options_exist(text: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    shown = re.findall(
        r"(?:^|`|\$ |mpirun -n \d+ )adpkv ([a-z]+)((?: [^`\n]*)?)", _joined(text), re.MULTILINE
    )
    for name, rest in shown:
        assert name in commands, f"adpkv {name}"
        known = {
            option for p in commands[name].params for option in (*p.opts, *p.secondary_opts)
        } | {"--help"}
        assert set(re.findall(r"(?<!\S)--[a-z][a-z-]*", rest)) <= known, f"adpkv {name}{rest}"


def _joined(text: Path) -> str:
    """The text with continued lines in one."""
    return re.sub(r" \\\n\s*", " ", text.read_text(encoding="utf-8"))


@texts
def test_make_targets_exist(text: Path) -> None:
    made = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"(?:^|`)make ([a-z-]+)(?=`|\s+#)", _joined(text), re.MULTILINE)
    assert set(named) <= set(made)


def test_every_campaign_is_listed_with_its_length() -> None:
    """Each target that runs tests, experiments or benches; what is made for that is no campaign."""
    made = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    text = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    told = [row[0] for row in (*rows(text, "| command |"), *rows(text, "| target |"))]
    listed = {quoted(cell)[0].removeprefix("make ") for cell in told}
    assert listed == set(made) - {"setup", "fast", "run", "clean", "help"}


def test_the_readme_names_every_command() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    table = rows((ROOT / "README.md").read_text(encoding="utf-8"), "| command |")
    assert {quoted(row[0])[0].split()[1] for row in table} == set(commands)


def test_every_experiment_to_start_from_is_in_the_text() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    told = {quoted(row[0])[0] for row in rows(text, "| name | what it is for |")}
    assert told == {p.stem for p in (ROOT / "configs").glob("*.yaml")} | {"regressions/"}


def test_the_readme_leads_to_every_text() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\((docs/[^)#]+)", readme))
    assert linked >= {str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")}


def test_the_contracts_diagrams_and_tables_are_the_cores(diagrams: ModuleType) -> None:
    text = diagrams.DOCUMENT.read_text(encoding="utf-8")
    assert diagrams.rewritten(text) == text, "run: python docs/diagrams.py"


def test_a_changed_table_changes_the_document(
    diagrams: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = diagrams.DOCUMENT.read_text(encoding="utf-8")
    monkeypatch.setitem(TABLES[Role.RECEIVER][State.QUARANTINED], Event.DONE, None)
    changed = diagrams.rewritten(text)
    assert "quarantined --> released: ended\n" in changed
    assert changed != text


def test_a_document_without_the_marks_is_refused(diagrams: ModuleType) -> None:
    with pytest.raises(UsageError, match="needs the lines"):
        diagrams.rewritten("no marks")


def test_the_map_names_modules_that_exist() -> None:
    named = _modules_on_the_map()
    assert not [path for path in named if not path.with_suffix(".py").exists()]


def test_the_map_is_complete() -> None:
    found = {p.with_suffix("") for p in (ROOT / "adpkv").rglob("*.py")}
    on_the_map = set(_modules_on_the_map())
    assert {str(p) for p in found if p.name != "__init__" and p not in on_the_map} == set()


def _modules_on_the_map() -> list[Path]:
    folder = ""
    found = []
    for cells in rows(MAP.read_text(encoding="utf-8"), "| folder | module |"):
        folder = quoted(cells[0])[0] if cells[0] else folder
        found += [ROOT / folder / name for name in quoted(cells[1])]
    return found


def test_the_keys_of_the_summary_are_those_of_the_text() -> None:
    table = rows(OUTPUTS.read_text(encoding="utf-8"), "| key | value |")
    experiment = load(ROOT / "configs" / "four-ranks.yaml")
    summary = build_summary("virtual", experiment, [], Tally(), wall_s=0.0, simulated_s=0.0)
    assert [key for row in table for key in quoted(row[0])] == list(summary)
    for key, part in summary.items():
        row = next(row for row in table if key in quoted(row[0]))
        if key not in ("blocks", "utilisation", "violations") and isinstance(part, dict):
            assert set(part) <= set(quoted(row[1])), key


def test_every_figure_is_defined() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    experiment = load(ROOT / "configs" / "four-ranks.yaml")
    summary: Any = build_summary("virtual", experiment, [], Tally(), wall_s=0.0, simulated_s=0.0)
    latency = [key for row in rows(text, "| key | formula | covers |") for key in quoted(row[0])]
    assert latency == list(summary["latency"])
    columns = [key for row in rows(text, "| column | from | to |") for key in quoted(row[0])]
    assert columns == list(COLUMNS)
    keys = {
        title: [quoted(row[0])[0] for row in rows(text[text.index(title) :], "| key | formula |")]
        for title in ("## Rates", "## Utilisation")
    }
    assert keys["## Rates"] == list(summary["rates"])
    assert keys["## Utilisation"] == list(next(iter(summary["utilisation"].values())))


def test_the_exit_codes_are_those_of_the_text() -> None:
    table = rows(OUTPUTS.read_text(encoding="utf-8"), "| code | outcome |")
    told = {int(code): quoted(word)[0] for codes, word, *_ in table for code in codes.split(", ")}
    assert told == OUTCOMES


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    names = [re.match(r"[\w-]+", line)[0].lower() for line in wanted]  # type: ignore[index]
    assert not [name for name in names if f"\n| {name} |" not in text]
