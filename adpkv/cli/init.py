"""`adpkv init`: a commented experiment file to start from."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["init"]


def _names(incomplete: str) -> list[str]:
    from adpkv.config.shipped import shipped

    return [one.name for one in shipped() if one.name.startswith(incomplete)]


def init(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Writes NAME.yaml.", show_default=True)
    ] = "experiment",
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="NAME",
            help="Start from this one of `adpkv configs`.",
            autocompletion=_names,
        ),
    ] = "quickstart",
) -> None:
    """Write a commented experiment file to start from; overwrites nothing."""
    import shlex

    from adpkv.config.starting import start_file

    path = start_file(name, source)
    print(f"{path}: written; try: adpkv simulate {shlex.quote(str(path))}")
