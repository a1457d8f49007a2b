"""The house's rules that can be checked: arrows of imports, sizes, docstrings, public names."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "adpkv"
FILES = sorted(PACKAGE.rglob("*.py"))
OTHERS = sorted(
    path for kind in ("*.[ch]", "*.js", "*.css", "*.sh") for path in PACKAGE.rglob(kind)
)
MOST_FILE_LINES, MOST_FUNCTION_LINES, MOST_COLUMNS = 400, 70, 100


def name_of(path: Path) -> str:
    """The dotted name of a module of the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


@cache
def tree_of(module: str) -> ast.Module:
    """What a module says. Not at import: each process of the tests collects this file, and would
    parse all of adpkv for it, and keep that."""
    return ast.parse(MODULES[module].read_text())


def imports(tree: ast.AST, *, at_top_only: bool = False) -> set[str]:
    """Every module that a file imports, also inside functions unless `at_top_only`."""
    nodes = tree.body if at_top_only and isinstance(tree, ast.Module) else ast.walk(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            for alias in node.names:
                # `from adpkv.core import health` imports a module, not a name.
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
    return found


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


# -- arrows ------------------------------------------------------------------------------------

CORE, ERRORS, DRAWS = "adpkv.core", "adpkv.errors", "adpkv.random_draws"
STREAMS, TERMINAL = "adpkv.streams", "adpkv.terminal"
COUNTING, BUILD = "adpkv.counting", "adpkv.build"
PYTHON = "adpkv.python_module"
WHOLE_FILES = "adpkv.whole_files"
SUBCLASSING = "adpkv.subclassing"
HEAPS, HUGE_PAGES = "adpkv.heaps", "adpkv.huge_pages"
OF_PYDANTIC = "adpkv.pydantic_plugins"
EXIT_CODES, PLUGINS, GPU = "adpkv.exit_codes", "adpkv.plugins", "adpkv.gpu"
CONFIG, EXECUTOR, OUTPUT = "adpkv.config", "adpkv.executor", "adpkv.output"
RECORDER, INSPECT, DIAGNOSIS = "adpkv.flight_recorder", "adpkv.inspect", "adpkv.diagnosis"
TIMELINE = "adpkv.timeline"
TRACES, PRESETS = "adpkv.traces", "adpkv.presets"
FAULTS, WORKLOAD, ASSEMBLE = "adpkv.faults", "adpkv.workload", "adpkv.worlds.assemble"
IMPURE = {"time", "random", "os", "logging", "asyncio", "threading", "datetime", "mpi4py", "numpy"}
PORTS = ("adpkv.transport.port", "adpkv.memory.port", "adpkv.model.port", "adpkv.workload.port")
STAGED, OWN_MODEL = "adpkv.transport.staged", "adpkv.model.own"
COORDINATES = "adpkv.worlds.assemble_coordinator"
SERVED = (EXECUTOR, OUTPUT, DIAGNOSIS, FAULTS, WORKLOAD, ASSEMBLE, COORDINATES)
INNER = (CORE, ERRORS, CONFIG, *SERVED, *PORTS)
MEMORY_CHECK, ONCE = "adpkv.worlds.memory_check", "adpkv.worlds.once"
SETTINGS = "adpkv.worlds.instance_settings"
CUSTOM, SELECT = "adpkv.worlds.custom_ports", "adpkv.worlds.select_ports"

ARROWS = {
    # Who may import what of adpkv, beside itself. The first row that fits a module counts; a row
    # comes after all that it may import, but for the parts of a package.
    EXIT_CODES: (),
    ERRORS: (),
    DRAWS: (),
    "adpkv.control_groups": (ERRORS,),
    "adpkv.children": (),
    "adpkv.worker_processes": (),
    "adpkv.launcher_variables": (),
    PYTHON: (),
    COUNTING: (),
    BUILD: (),
    WHOLE_FILES: (),
    SUBCLASSING: (),
    HEAPS: (),
    HUGE_PAGES: (),
    OF_PYDANTIC: (),
    "adpkv.native_value": (SUBCLASSING,),
    # So that `adpkv --help` can have them, and nothing else.
    STREAMS: (),
    TERMINAL: (STREAMS,),
    CORE: (ERRORS, SUBCLASSING),
    # It knows names and ports by what they look like, and imports what is asked for.
    PLUGINS: (ERRORS,),
    # Files of others, from which the configuration takes faults and the workload its requests.
    TRACES: (CORE, ERRORS),
    # Published models and devices, as coefficients.
    PRESETS: (CORE, ERRORS),
    CONFIG: (CORE, ERRORS, PLUGINS, OF_PYDANTIC, TRACES, PRESETS),
    # CuPy and the kernels, for memories and models.
    GPU: (ERRORS,),
    "adpkv.memory": (CORE, ERRORS, GPU, SUBCLASSING),
    # The virtual link writes into the ledger instead of into bytes.
    "adpkv.transport.virtual": (
        CORE,
        "adpkv.transport.port",
        "adpkv.transport.virtual_link",
        "adpkv.memory.virtual",
    ),
    # Regions and fences are the memory's.
    "adpkv.transport": (CORE, ERRORS, "adpkv.memory.port"),
    "adpkv.model.gemm": (CORE, ERRORS, GPU, "adpkv.memory.port", "adpkv.model"),
    "adpkv.model": (CORE, ERRORS, PLUGINS),
    WORKLOAD: (CORE, ERRORS, DRAWS, PLUGINS, TRACES, CONFIG),
    EXECUTOR: (CORE, ERRORS, SUBCLASSING, *PORTS, STAGED),
    # Around a rank's ports in either world, so of neither.
    FAULTS: (CORE, ERRORS, DRAWS, CONFIG, EXECUTOR, "adpkv.transport.port"),
    RECORDER: (ERRORS, EXECUTOR, "adpkv.transport.port"),
    OUTPUT: (
        BUILD,
        SUBCLASSING,
        CORE,
        ERRORS,
        STREAMS,
        TERMINAL,
        CONFIG,
        "adpkv.executor.messages",
    ),
    TIMELINE: (CORE, ERRORS, COUNTING, CONFIG, EXECUTOR, OUTPUT, "adpkv.model.port"),
    INSPECT: (ERRORS, COUNTING, TERMINAL, RECORDER, "adpkv.output.tables"),
    DIAGNOSIS: (CORE, ERRORS, EXECUTOR, RECORDER, INSPECT, OUTPUT, "adpkv.model.port"),
    MEMORY_CHECK: (CORE, ERRORS, CONFIG, "adpkv.control_groups"),
    ONCE: (CONFIG,),
    SETTINGS: (CORE, CONFIG, EXECUTOR, ONCE),
    ASSEMBLE: (
        CORE,
        CONFIG,
        EXECUTOR,
        PLUGINS,
        *PORTS,
        STAGED,
        "adpkv.model.cost",
        OWN_MODEL,
        ONCE,
        SETTINGS,
    ),
    COORDINATES: (CORE, CONFIG, EXECUTOR, ONCE, SETTINGS, *PORTS),
    # Ports of a caller or of a plugin, in either world.
    CUSTOM: (
        CORE,
        ERRORS,
        CONFIG,
        PLUGINS,
        *PORTS,
        OWN_MODEL,
        "adpkv.workload.own",
        "adpkv.transport.virtual",
    ),
    SELECT: (CORE, ERRORS, CONFIG, PLUGINS, *PORTS, ASSEMBLE, CUSTOM, ONCE),
    "adpkv.worlds.virtual": (
        SUBCLASSING,
        *INNER,
        MEMORY_CHECK,
        DRAWS,
        TIMELINE,
        PLUGINS,
        CUSTOM,
        SELECT,
        "adpkv.memory.virtual",
        "adpkv.memory.virtual_staging",
        "adpkv.transport.virtual",
        STAGED,
    ),
    "adpkv.worlds.mpi": (
        PYTHON,
        *INNER,
        MEMORY_CHECK,
        CUSTOM,
        SELECT,
        "adpkv.control_groups",
        TERMINAL,
        RECORDER,
        TIMELINE,
        GPU,
        "adpkv.memory.host",
        "adpkv.memory.host_staging",
        "adpkv.memory.cuda",
        "adpkv.memory.cuda_staging",
        "adpkv.memory.pattern",
        "adpkv.model.cost",
        "adpkv.model.gemm",
        OWN_MODEL,
        "adpkv.transport.mpi",
        "adpkv.transport.nixl",
        "adpkv.transport.posting",
        "adpkv.transport.cards",
        "adpkv.transport.ucx",
        "adpkv.transport.ucx_library",
        STAGED,
    ),
    "adpkv.worlds": (),
    "adpkv.results": (CORE, ERRORS, TERMINAL, CONFIG, RECORDER, DIAGNOSIS, OUTPUT),
    "adpkv.testing": (CORE, ERRORS, *PORTS),
    "adpkv.ports": (CORE, *PORTS, CUSTOM),
    "adpkv.field_policies": (CONFIG, CORE, ERRORS, EXECUTOR, ASSEMBLE, "adpkv.transport.port"),
    # A worker of a sweep is a program: it reads the policy itself.
    "adpkv.sweeps": (
        HUGE_PAGES,
        PYTHON,
        "adpkv.worker_processes",
        "adpkv.launcher_variables",
        ERRORS,
        DRAWS,
        TERMINAL,
        CONFIG,
        OUTPUT,
        WORKLOAD,
        MEMORY_CHECK,
        SELECT,
        "adpkv.worlds.virtual",
        "adpkv.worlds.mpi",
        "adpkv.results",
        "adpkv.field_policies",
    ),
    "adpkv.comparison": (
        CORE,
        ERRORS,
        DRAWS,
        TERMINAL,
        CONFIG,
        OUTPUT,
        "adpkv.results",
        "adpkv.sweeps",
    ),
    "adpkv.reports": (CORE, ERRORS, CONFIG, OUTPUT, "adpkv.results", "adpkv.sweeps"),
    "adpkv.calibration": (
        CORE,
        ERRORS,
        TERMINAL,
        CONFIG,
        "adpkv.executor.collectives",
        "adpkv.executor.messages",
        OUTPUT,
        TIMELINE,
        "adpkv.worlds.virtual",
    ),
    # The policies are handed to it by the command: nothing else knows that they exist.
    "adpkv.regressions": (
        PYTHON,
        CORE,
        ERRORS,
        CONFIG,
        EXECUTOR,
        OUTPUT,
        WORKLOAD,
        "adpkv.worlds.virtual",
        "adpkv.children",
        TERMINAL,
    ),
    # Programs of others: nothing of ours but how a report names ranks and breaks lines.
    "adpkv.rank_programs.under_mpirun": (
        PYTHON,
        "adpkv.rank_programs",
        "adpkv.diagnosis.names",
        "adpkv.output.tables",
        "adpkv.flight_recorder.processes",
        "adpkv.launcher_variables",
        "adpkv.worlds.mpi.launcher.startup",
    ),
    "adpkv.rank_programs": (
        ERRORS,
        COUNTING,
        "adpkv.diagnosis.names",
        "adpkv.output.tables",
        "adpkv.launcher_variables",
    ),
    # It makes runs and hands them to processes, as a sweep does.
    "adpkv.exploration": (
        HUGE_PAGES,
        PYTHON,
        "adpkv.worker_processes",
        "adpkv.launcher_variables",
        "adpkv.native_value",
        COUNTING,
        CORE,
        ERRORS,
        CONFIG,
        PLUGINS,
        EXECUTOR,
        OUTPUT,
        TERMINAL,
        FAULTS,
        "adpkv.worlds.virtual",
        "adpkv.worlds.mpi",
        "adpkv.field_policies",
        "adpkv.sweeps",
        "adpkv.diagnosis",
    ),
    # The outermost: they may use everything, and nothing uses them but the command line.
    "adpkv.bench": ("adpkv",),
    "adpkv.cli": ("adpkv",),
    "adpkv.api": ("adpkv",),
    "adpkv.__main__": ("adpkv.cli", HUGE_PAGES),
    "adpkv": ("adpkv",),
}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_one_way(module: str) -> None:
    """core <- executor <- worlds <- cli; the adapters know core and their own port."""
    package = next(p for p in ARROWS if is_in(module, p))
    assert package != "adpkv" or module == "adpkv", "a package that has no arrows"
    # Leaves that everybody may know: an enum, how a file is written, how things are counted, heaps.
    allowed = (package, EXIT_CODES, WHOLE_FILES, COUNTING, HEAPS, *ARROWS[package])
    wrong = [
        other
        for other in sorted(imports(tree_of(module)))
        # The version is everybody's: it is all that the package itself has.
        if is_in(other, "adpkv") and other != "adpkv" and not any(is_in(other, p) for p in allowed)
    ]
    assert wrong == []


def test_no_arrow_points_back() -> None:
    """A row may name what stands before it: so the packages have an order, and no circle."""
    rows = list(ARROWS)
    for number, (package, allowed) in enumerate(ARROWS.items()):
        later = [p for p in rows[number + 1 :] if p != "adpkv" and not is_in(package, p)]
        back = [one for one in allowed for p in later if is_in(one, p)]
        assert back == [], package


@pytest.mark.parametrize("module", sorted(m for m in MODULES if is_in(m, CORE)))
def test_the_core_is_pure(module: str) -> None:
    """No clock, randomness, environment, arrays, logs, event loop or MPI."""
    banned = [
        "time",
        "random",
        "os",
        "sys",
        "numpy",
        "logging",
        "asyncio",
        "threading",
        "mpi4py",
        "datetime",
        "secrets",
    ]
    found = {name.split(".")[0] for name in imports(tree_of(module))}
    assert found.isdisjoint(banned)


@pytest.mark.parametrize("module", sorted(m for m in MODULES if is_in(m, "adpkv.executor")))
def test_the_executor_reads_no_clock_and_knows_no_link(module: str) -> None:
    banned = [
        "time",
        "random",
        "os",
        "numpy",
        "logging",
        "asyncio",
        "threading",
        "mpi4py",
        "datetime",
    ]
    found = {name.split(".")[0] for name in imports(tree_of(module))}
    assert found.isdisjoint(banned)


def test_the_worlds_never_meet() -> None:
    for one, other in (("mpi", "virtual"), ("virtual", "mpi")):
        for module in MODULES:
            if is_in(module, f"adpkv.worlds.{one}"):
                strangers = [
                    m for m in imports(tree_of(module)) if is_in(m, f"adpkv.worlds.{other}")
                ]
                assert strangers == [], module


def test_only_the_mpi_parts_import_mpi4py() -> None:
    allowed = ("adpkv.worlds.mpi", "adpkv.transport.mpi", "adpkv.transport.mpi_opened",
               "adpkv.transport.mpi_posting",
               "adpkv.sweeps.over_mpi", "adpkv.exploration.over_mpi",
               "adpkv.rank_programs.real_ranks",
               "adpkv.rank_programs.under_mpirun")  # fmt: skip
    asking = [m for m in MODULES if any(is_in(i, "mpi4py") for i in imports(tree_of(m)))]
    strangers = [m for m in asking if not any(is_in(m, a) for a in allowed)]
    # A benchmark's own rank programs may: they are started under mpirun.
    assert [
        m
        for m in strangers
        if not re.fullmatch(
            r"adpkv\.bench\.(\w+_ranks|transport_rig|transport_words|bare(_nixl|_ucx)?)", m
        )
    ] == []


def test_only_the_torch_parts_import_torch() -> None:
    asking = [m for m in MODULES if any(is_in(i, "torch") for i in imports(tree_of(m)))]
    # `libraries` does once the program is known to be torch's.
    allowed = ("adpkv.rank_programs.torch_ranks", "adpkv.rank_programs.libraries")
    assert [m for m in asking if not any(is_in(m, a) for a in allowed)] == []
    at_top = imports(tree_of("adpkv.rank_programs.libraries"), at_top_only=True)
    assert not any(is_in(name, "torch") for name in at_top)


def test_simulate_works_without_mpi4py() -> None:
    """Nothing on its way imports it, not even by accident."""
    script = (
        "import sys; sys.modules['mpi4py'] = None\n"
        "import adpkv.cli.app, adpkv.cli.simulate, adpkv.worlds.virtual.run\n"
    )
    python = importlib.import_module("sys").executable
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


# -- modules -----------------------------------------------------------------------------------


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_says_what_it_is_for(module: str) -> None:
    docstring = ast.get_docstring(tree_of(module))
    assert docstring
    assert len(docstring.splitlines()[0]) <= MOST_COLUMNS


def declared(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = ast.literal_eval(node.value)
            assert isinstance(names, list)
            return names
    return None


def defined(tree: ast.Module) -> set[str]:
    """What a module binds at its top, imports included."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found.update(alias.asname or alias.name for alias in node.names)
    return found


@pytest.mark.parametrize("module", sorted(MODULES))
def test_public_names_are_listed_sorted_and_there(module: str) -> None:
    tree, path = tree_of(module), MODULES[module]
    names = declared(tree)
    if names is None:
        # A package's front door may be a sentence only; a program has no names to give.
        assert path.name == "__main__.py" or _is_a_sentence(tree), "no __all__"
        return
    constants = [name for name in names if name.isupper()]
    rest = [name for name in names if name not in constants]
    classes = [name for name in rest if name[:1].isupper()]
    functions = [name for name in rest if name not in classes]
    assert names == sorted(constants) + sorted(classes) + sorted(functions)
    assert set(names) <= defined(tree)


def _is_a_sentence(tree: ast.Module) -> bool:
    return len(tree.body) == 1 and ast.get_docstring(tree) is not None


# -- sizes -------------------------------------------------------------------------------------


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("module", sorted(MODULES))
def test_files_and_functions_stay_small(module: str) -> None:
    lines = MODULES[module].read_text().splitlines()
    assert len(lines) <= MOST_FILE_LINES
    assert max(map(len, lines), default=0) <= MOST_COLUMNS
    for node in functions(tree_of(module)):
        assert node.end_lineno is not None
        assert node.end_lineno - node.lineno + 1 <= MOST_FUNCTION_LINES, node.name


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_files_of_other_languages_stay_small(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= MOST_FILE_LINES
    if path.suffix in {".c", ".h"}:
        assert max(map(len, lines), default=0) <= MOST_COLUMNS


# -- what must not be in the repository --------------------------------------------------------

# A directory of one machine: a home, a mount, a work place. Those that every system has are fine,
# and so is the home in every image for the MPI Operator.
MACHINE_PATH = re.compile(
    r"(?<![\w./$}~<-])(?!/home/mpiuser/)/(?:home|root|Users|work|mnt|workspace|data)/[\w.]"
)
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".sh", ".txt", ".cfg", ""}


def tracked() -> list[Path]:
    """The files of the repository; of the directory where git is not at hand."""
    try:
        done = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return [p for p in ROOT.rglob("*") if p.is_file() and ".venv" not in p.parts]
    return [ROOT / name for name in done.stdout.split("\0") if name]


IN_THE_ROOT = {".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "pyproject.toml"}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the repository")
def test_no_two_test_modules_have_one_name() -> None:
    """pytest takes them for one module, but only where it collects both."""
    folders: dict[str, Path] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if not (path.parent / "__init__.py").exists():
            assert folders.setdefault(path.name, path) == path


def test_no_file_was_left_behind() -> None:
    """What a tool writes where it was called, and `git add` takes."""
    assert {path.name for path in tracked() if path.parent == ROOT} == IN_THE_ROOT


def test_no_file_names_a_path_of_one_machine() -> None:
    found = []
    for path in tracked():
        if path.suffix not in TEXT or not path.is_file() or path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if MACHINE_PATH.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert found == []


@pytest.mark.parametrize("path", ["/home/me/x", "see /work/main", "'/root/.cache'"])
def test_a_path_of_one_machine_is_seen(path: str) -> None:
    assert MACHINE_PATH.search(path)


@pytest.mark.parametrize(
    "path", ["/usr/bin/env", "/home/mpiuser/.ssh", "a/home/b", "$HOME/home/x", "/dev/shm/x"]
)
def test_an_ordinary_path_is_not(path: str) -> None:
    assert not MACHINE_PATH.search(path)
