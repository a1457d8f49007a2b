"""The end of rank 0, where its screen fails."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from adpkv.config import load
from adpkv.config.shipped import shipped_file
from adpkv.output import RunFolder
from adpkv.output.screen import Screen


def test_the_address_is_free_again_whatever_the_screen_meets(tmp_path: Path) -> None:
    pytest.importorskip("mpi4py", reason="without mpi4py: pip install 'adpkv[mpi]'")
    pytest.importorskip("prometheus_client", reason="without prometheus-client")
    from adpkv.worlds.mpi.health import Health
    from adpkv.worlds.mpi.host_rank import show_result

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    experiment = load(shipped_file("four-ranks"))
    health = Health(experiment, f"127.0.0.1:{port}")
    with pytest.raises(KeyError):
        show_result(Screen(experiment), {}, RunFolder(tmp_path), health)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_working_folder_that_was_removed_meanwhile_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has its files in another one; it ended in a traceback, with 70."""
    pytest.importorskip("mpi4py", reason="without mpi4py: pip install 'adpkv[mpi]'")
    from adpkv.worlds.mpi.host_rank import show_result

    gone, folder = tmp_path / "gone", RunFolder(tmp_path / "run")
    gone.mkdir()
    monkeypatch.chdir(tmp_path)
    assert folder.told == Path("run")
    monkeypatch.chdir(gone)
    assert folder.told == folder.path
    gone.rmdir()
    assert folder.told == folder.path
    show_result(
        Screen(load(shipped_file("four-ranks")), quiet=True), {"exit_code": 0}, folder, None
    )
