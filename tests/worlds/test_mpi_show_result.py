"""The end of rank 0, where its screen fails."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from adpkv.config import load
from adpkv.config.shipped import shipped_file
from adpkv.output import RunFolder
from adpkv.output.screen import Screen


def test_the_address_is_free_again_whatever_the_screen_meets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mpi4py", reason="without mpi4py: pip install 'adpkv[mpi]'")
    pytest.importorskip("prometheus_client", reason="without prometheus-client")
    from adpkv.worlds.mpi.health import Health
    from adpkv.worlds.mpi.run import _show_result

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    experiment = load(shipped_file("four-ranks"))
    health = Health(experiment, f"127.0.0.1:{port}")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(FileNotFoundError):
        _show_result(Screen(experiment, quiet=True), {}, RunFolder(tmp_path), health)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
