"""`lethe report`."""

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import ROOT, Json, Root, open_store
from pipelines.cli.output import emit


def report(
    *,
    out: Annotated[Path, typer.Option("--out", help="The file of the page.")] = Path("report.html"),
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Write one page on what was forgotten, what shows it, and everything that was measured on this store.

    An HTML file that needs nothing else and asks nobody for anything: requests and their state, what is served, audits
    with their limits and controls, certificates and the ledger, every comparison that is kept, costs, limits, and how
    each number was made. Nothing is measured for it; what was not measured is said, with the command that would.

    \b
    Examples:
      lethe report
      lethe report --out reports/lethe.html
      lethe report --json
    """
    from pipelines.report.make import report as write

    command = shlex.join(["lethe", "report", "--out", str(out)])
    made = write(open_store(root), out, now=datetime.now(UTC), command=command)
    emit({"report": made, "bytes": made.stat().st_size}, as_json=as_json, text=lambda: str(made))
