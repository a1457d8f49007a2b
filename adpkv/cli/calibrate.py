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
            "--output",
            "--out",
            metavar="FILE",
            help="Write the section `calibration` here; one for each number of ranks on a core, if"
            " they have no core each.",
        ),
    ] = Path("calibration.yaml"),
    as_json: AsJson = False,
) -> None:
    """Measure on real runs what the virtual world leaves out, and how far it is from others.

    Writes a section `calibration`, which an experiment can have.
    """
    import json

    from adpkv import __version__
    from adpkv.calibration.calling import calibrated, places, write
    from adpkv.calibration.showing import as_text, as_told, as_values, show_errors
    from adpkv.output.tables import wrapped
    from adpkv.terminal import terminal_columns
    from adpkv.whole_files import beside

    found, errors = calibrated(runs, check)
    written = places(output, found)
    for path, one in zip(written, found, strict=True):
        write(path, as_text(one, __version__))
    stream = beside(output)
    if as_json:
        print(json.dumps(as_values(found, errors), indent=2), file=stream)
        return
    if errors:
        show_errors(stream, errors)
    else:
        hint = "errors: give runs of a second experiment, or --check RUN, to say how far it is"
        print(hint, file=stream)
    for told in as_told(written, found):
        print("\n".join(wrapped(told, terminal_columns(stream))), file=stream)
