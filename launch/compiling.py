"""Compiles adpkv in the current folder: `python compiling.py`, for `compiled_build.py`.

A process of its own, because mypy and setuptools end theirs if something is wrong. mypyc makes C of
the modules; what they look up by name is remembered where it is looked up (`inline_cache.h`); and
GCC builds the C twice, the second time by what the first has counted.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # as in compiled_build.py

from compiled_build import compiled_modules
from native_values import make_native

__all__ = ["is_remembering", "keeps_profiles", "main", "remembering", "train"]

CONFIG = Path(__file__).with_name("mypyc.ini")

IN_C = ("flight_recorder/quick", "heaps", "huge_pages", "memory/owners", "output/event_buffer")
"""Modules that are in C beside their Python, which stands for them without a compiler. Each is a
file, `.c` and `.py`, with the same contents for whoever imports it."""

WITH_GIL = ("heaps", "memory/owners", "output/event_buffer")
"""Those that another thread must not come between: there Python's own are as good."""

CALLS = ["-fvisibility=hidden", "-fno-semantic-interposition", "-fno-plt"]
"""For the C compiler: nobody else calls the functions of this build, so they call each other
directly."""

COUNTED = ["-fprofile-generate", "-fprofile-update=single"]
BY_PROFILE = ["-fprofile-use", "-fprofile-correction", "-Wno-missing-profile"]
"""GCC builds it twice: first so that it counts what it does in some small simulations (`TRAINING`),
then by these counts. What was used is then fast, and beside each other in memory; the rest, most of
it, is small and elsewhere."""

TRAINING = (
    ("conversation", "--set", "workload.limit=150"),
    ("quickstart", "--set", "workload.requests=60"),
    ("closed-loop", "--set", "workload.requests=40"),
    ("large-group", "--set", "workload.requests=20"),
)

TO_ITS_END = "import runpy; runpy.run_module('adpkv', run_name='__main__', alter_sys=True)"
"""As `-m adpkv`, which ends at once: this ends as any Python does, when what it counted is
written."""

NOTE = "adpkv, compiled: "
"""How lines begin that say what has become of the build."""

TRAINING_S = 600
"""The longest that one of them may take: some take seconds."""

CRASHES = (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV)

HEADERS = ("inline_cache.h", "objects.h", "boxes.h", "lookups.h")
"""What is done in the place of Python's functions, in whatever mypyc makes."""
GLOBAL = re.compile(
    r"((cpy_r_r\d+) = CPyStatic_\w+___globals;\n"
    r" +(cpy_r_r\d+) = CPyStatics\[\d+\];[^\n]*\n"
    r" +cpy_r_r\d+ = )CPyDict_GetItem\(\2, (?=\3\))"
)
"""A name of a module, of which mypyc knows no type."""


def main() -> None:
    """Put the extension modules beside the sources of the current folder."""
    from mypyc.build import mypycify
    from setuptools import Extension

    names = [str(path) for path in compiled_modules(Path("adpkv"))]
    make_native(Path("adpkv"))
    compiled = mypycify(
        ["--config-file", str(CONFIG), *names],
        opt_level="3",
        debug_level="0",
        multi_file=True,
    )
    for module in compiled:
        module.extra_compile_args += CALLS
        module.include_dirs.append(str(Path(__file__).parent))
    _remember(list(Path("build").glob("__native_*")))
    in_c = [
        Extension(
            f"adpkv.{name.replace('/', '.')}", [f"adpkv/{name}.c"], extra_compile_args=["-O2"]
        )
        for name in IN_C
        if name not in WITH_GIL or not sysconfig.get_config_var("Py_GIL_DISABLED")
    ]
    library, *shims = compiled
    if not keeps_profiles():
        _note("no profile: that needs GCC, with its libgcov")
        _build([*compiled, *in_c])
        return
    usual = list(library.extra_compile_args)
    library.extra_compile_args = [*usual, *COUNTED]
    library.extra_link_args = COUNTED
    _build([library, *shims, *in_c])
    if wrong := train():
        _note(f"no profile: {wrong}")
        library.extra_compile_args, library.extra_link_args = usual, []
    else:
        _note(f"built by the profile of {len(TRAINING)} simulations")
        library.extra_compile_args, library.extra_link_args = [*usual, *BY_PROFILE], []
    _build([library], again=True)


def _note(text: str) -> None:
    """Say what has become of the build. pip shows none of it: `make fast` has it keep a log, and
    shows these lines of that."""
    print(f"{NOTE}{text}", file=sys.stderr, flush=True)


def _build(modules: list[Any], *, again: bool = False) -> None:
    from setuptools import setup
    from setuptools.command.build_ext import build_ext

    jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1

    class InParallel(build_ext):
        """Setuptools builds several modules at once; most of this build is the files of one."""

        def build_extensions(self) -> None:
            one_by_one = self.compiler.compile

            def in_parallel(sources: list[str], **told: Any) -> list[str]:
                with ThreadPoolExecutor(jobs) as pool:
                    made = pool.map(lambda source: one_by_one([source], **told), sources)
                    return [name for names in made for name in names]

            self.compiler.compile = in_parallel
            super().build_extensions()

    setup(
        name="adpkv-compiled",
        packages=[],
        ext_modules=modules,
        cmdclass={"build_ext": InParallel},
        script_args=["-q", "build_ext", "--inplace", f"-j{jobs}", *(["--force"] if again else [])],
    )


def train() -> str:
    """Simulate what the compiler is to make fast. Each process adds what it counts, as it ends, to
    files beside the objects.

    Returns:
        Why there is nothing to build by; empty if there is.

    Raises:
        SystemExit: what was compiled crashes. Built again it would too.
    """
    # Behind adpkv what was there: pip's environment for a build is found by it.
    path = os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH"))))
    found = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory(prefix="adpkv-profile-") as out:
        for number, told in enumerate(TRAINING):
            command = [sys.executable, "-c", TO_ITS_END, "simulate", *told, "--quiet"]
            command += ["--out", f"{out}/{number}"]
            try:
                ended = subprocess.run(command, env=found, check=False, timeout=TRAINING_S)
            except subprocess.TimeoutExpired:
                return f"adpkv has not simulated {told[0]} in {TRAINING_S} s"
            code = ended.returncode
            if -code in CRASHES:
                sys.exit(f"adpkv, compiled, crashes in {told[0]}: {signal.Signals(-code).name}")
            if code:
                return "adpkv does not run here"
    if not any(Path("build").rglob("*.gcda")):
        return "adpkv ran without what was compiled, or that has counted nothing"
    return ""


def _remember(files: list[Path]) -> None:
    made = [remembering(file.read_text("utf-8")) for file in files]
    for file, text in zip(files, made, strict=True):
        file.write_text(text, "utf-8")
    if is_remembering(made):
        _note("what is looked up by name is remembered")
    else:
        _note("nothing is remembered: mypyc writes its C in another way")


def remembering(text: str) -> str:
    """What mypyc has made, with what it looks up by name remembered (`inline_cache.h`)."""
    ours = "".join([f'#include "{header}"\n' for header in HEADERS])
    text = text.replace("#include <CPy.h>\n", f"#include <CPy.h>\n{ours}")
    return GLOBAL.sub(r"\1ADPKV_GLOBAL(\2, ", text)


def is_remembering(made: list[str]) -> bool:
    """Whether both that names and that fields and methods are remembered, somewhere in it."""
    wanted = (f'#include "{HEADERS[0]}"', "ADPKV_GLOBAL(")
    return all(any(what in text for text in made) for what in wanted)


def keeps_profiles() -> bool:
    """Whether the C compiler counts, and builds by that, as GCC does. Others do so in other ways,
    and some say that they are GCC; a GCC may be without the library that counts."""
    command = [*(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()]
    asked = subprocess.run(
        [*command, "-dM", "-E", "-x", "c", os.devnull], capture_output=True, text=True, check=False
    )
    if "__GNUC__" not in asked.stdout or "__clang__" in asked.stdout:
        return False
    with tempfile.TemporaryDirectory(prefix="adpkv-profile-") as folder:
        source = Path(folder, "nothing.c")
        source.write_text("int main(void) { return 0; }\n", "utf-8")
        for how in (COUNTED, BY_PROFILE):
            build = [*command, *how, str(source), "-o", str(source.with_suffix(""))]
            if subprocess.run(build, capture_output=True, check=False).returncode:
                return False
    return True


if __name__ == "__main__":
    main()
