"""`adpkv configs`: the experiments that have names."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

__all__ = ["configs"]

LEAST_ABOUT: Final = 40
"""Columns beside the longest name that are worth a column of what each experiment is about."""


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
    from adpkv.output.tables import Table, print_line, width_of, wrapped
    from adpkv.terminal import console_for

    console = console_for(sys.stdout)
    width = width_of(console)
    if width is None or width >= max(len(one.name) for one in found) + LEAST_ABOUT:
        Table((), [[one.name, one.about()] for one in found], numbers=()).show(console)
        return
    for one in found:  # below each other: a name that is broken cannot be copied
        print_line(console, one.name)
        for line in wrapped(one.about(), width, "    "):
            print_line(console, line)
