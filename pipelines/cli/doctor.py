"""`lethe doctor`."""

import os

import typer

from pipelines.cli.options import ROOT, Json, Root
from pipelines.cli.output import emit, table


def doctor(*, root: Root = ROOT, as_json: Json = False) -> None:
    """Show versions, device, database and artefacts, and what is missing; exit status 1 where something is.

    \b
    Example:
      lethe doctor
    """
    from pipelines.doctor import examine

    findings = examine(root, os.environ.get("LETHE_DB") or None)
    rows = [(finding.what, finding.found, finding.remedy) for finding in findings]
    emit(findings, as_json=as_json, text=lambda: table(("what", "found", "remedy"), rows))
    if any(finding.remedy for finding in findings):
        raise typer.Exit(1)
