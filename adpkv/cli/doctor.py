"""`adpkv doctor`: what was found on this machine, what is missing, and how to get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from adpkv.exit_codes import ExitCode

if TYPE_CHECKING:
    from adpkv.cli.probes import Finding

__all__ = ["doctor"]


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Have this environment's mpirun start more ranks than cores, and ranks as root.",
        ),
    ] = False,
) -> None:
    """Show what MPI, plugins, transports, GPU, shared memory and limits are here; what is missing.

    Ends with 0 if `adpkv simulate` works; `adpkv run` may not.
    """
    if repair:
        from adpkv.worlds.mpi.launcher.repair import repaired

        print("\n".join(repaired()))
        return
    from adpkv.cli.probes import Need, all_findings

    findings = all_findings()
    wrong = [finding for finding in findings if not finding.fine]
    simulate_lacks = [f for f in wrong if f.need is Need.EVERYTHING]
    run_lacks = [f for f in wrong if f.need is not Need.NOTHING]
    if as_json:
        _print_json(findings, simulate_lacks, run_lacks)
    else:
        _print_table(findings)
        print(_conclusion("adpkv simulate", simulate_lacks))
        print(_conclusion("adpkv run", run_lacks))
    raise typer.Exit(ExitCode.USAGE if simulate_lacks else ExitCode.COMPLETED)


def _conclusion(command: str, lacks: Sequence[Finding]) -> str:
    if not lacks:
        return f"{command}: works"
    return f"{command}: does not work here: {', '.join(f.name for f in lacks)}"


def _print_json(
    findings: Sequence[Finding], simulate_lacks: Sequence[Finding], run_lacks: Sequence[Finding]
) -> None:
    import json
    from dataclasses import asdict

    said = {
        "simulate": not simulate_lacks,
        "run": not run_lacks,
        "findings": [asdict(finding) for finding in findings],
    }
    print(json.dumps(said, indent=2))


def _state(finding: Finding) -> str:
    from adpkv.cli.probes import Need

    if finding.fine:
        return "ok"
    return "note" if finding.need is Need.NOTHING else "missing"


def _print_table(findings: Sequence[Finding]) -> None:
    import sys

    from adpkv.output.tables import Table
    from adpkv.terminal import console_for

    rows, hints = [], {}
    for place, finding in enumerate(findings):
        rows.append([_state(finding), finding.name, finding.found])
        if finding.hint and not finding.fine:
            hints[place] = f"-> {finding.hint}"
    Table((), rows, numbers=(), notes=hints).show(console_for(sys.stdout))
