"""`adpkv calibrate`: what the virtual world needs from real runs, and how far it then is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adpkv.cli.options import AsJson

__all__ = ["calibrate"]


def calibrate(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Folders of real runs, made with observe.timeline: true.",
            show_default=False,
        ),
    ],
    check: Annotated[
        list[Path],
        typer.Option(
            metavar="RUN",
            help="Say the errors on this run, which is not fitted on. Can be given several times.",
            default_factory=list,
            show_default="each experiment by itself, fitted on the others",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "--out", metavar="FILE", help="Write the section `calibration` here."
        ),
    ] = Path("calibration.yaml"),
    as_json: AsJson = False,
) -> None:
    """Measure on real runs what the virtual world leaves out, and how far it is from others.

    Writes a section `calibration`, which an experiment can have.
    """
    import json
    import sys

    from adpkv import __version__
    from adpkv.calibration.calling import calibrated, write
    from adpkv.calibration.showing import as_text, as_values, show_errors
    from adpkv.output.tables import wrapped
    from adpkv.terminal import terminal_columns

    calibration, errors, names = calibrated(runs, check)
    write(output, as_text(calibration, names, __version__))
    if as_json:
        print(json.dumps(as_values(calibration, errors), indent=2))
        return
    if errors:
        show_errors(sys.stdout, errors)
    else:
        print("errors: give runs of a second experiment, or --check RUN, to say how far it is")
    told = f"calibration: {output}; append it to an experiment's file to simulate with it"
    print("\n".join(wrapped(told, terminal_columns(sys.stdout))))
