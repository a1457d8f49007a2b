"""The version of adpkv that writes a file: its figures may mean something else in another one."""

from __future__ import annotations

from importlib import metadata

__all__ = ["version"]


def version() -> str:
    """That of the installed package; `unknown` where it runs without being installed."""
    try:
        return metadata.version("adpkv")
    except metadata.PackageNotFoundError:
        return "unknown"
