"""`adpkv configs`: the experiments that have names."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

__all__ = ["configs"]


def configs(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print names, files and meanings as JSON.")
    ] = False,
) -> None:
    """List the experiments that come with adpkv, by the names that other commands take."""
    from adpkv.config.shipped import folder, shipped

    folder()  # complains where there are none
    found = shipped()
    if as_json:
        import json

        told = [{"name": e.name, "file": str(e.path), "about": e.about()} for e in found]
        print(json.dumps(told, indent=2))
        return
    from adpkv.observe.tables import Table
    from adpkv.terminal import console_for

    Table((), [[e.name, e.about()] for e in found], numbers=()).show(console_for(sys.stdout))
