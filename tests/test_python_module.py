"""From where a child process imports adpkv."""

from __future__ import annotations

from pathlib import Path

import pytest

from adpkv import python_module as module
from adpkv.python_module import python_module


def test_a_clone_found_through_a_link_is_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone, link = tmp_path / "clone", tmp_path / "link"
    (clone / "adpkv").mkdir(parents=True)
    (clone / "adpkv" / "python_module.py").touch()
    link.symlink_to(clone)
    monkeypatch.setattr(module, "__file__", str(link / "adpkv" / "python_module.py"))
    monkeypatch.chdir(clone)
    assert "-P" not in python_module("adpkv")
    monkeypatch.chdir(tmp_path)
    assert "-P" in python_module("adpkv")


def test_a_current_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "-P" in python_module("adpkv")
