"""`lethe demo`: the whole story on ml-100k, told by the commands that anyone can type."""

import json
import shlex
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from db import files
from db.errors import LetheError
from pipelines.cli.options import Root
from pipelines.cli.output import table

MARK = "demo.json"
"""Only a folder that holds this file, made by an earlier demo, is ever wiped."""

DEMO_ROOT = Path("demo-root")


@dataclass(slots=True)
class Story:
    """The commands of the demo as they are run, with what each took."""

    root: Path
    told: list[tuple[str, float, str]] = field(default_factory=list)

    def run(self, *words: str, expect_refusal: bool = False, title: str) -> None:
        """Run one `lethe` command in this process, after printing it; a refusal may be expected."""
        from pipelines.cli.app import app

        print(f"\n── {title}\n$ lethe {shlex.join(words)}", flush=True)
        started, outcome = time.perf_counter(), "done"
        try:
            status = app([*words, "--root", str(self.root)], standalone_mode=False)
            if status or expect_refusal:
                raise LetheError(
                    f"`lethe {shlex.join(words)}` ended with exit status {status}, which the demo did not expect"
                )
        except LetheError as error:
            if not expect_refusal:
                raise
            outcome = "refused, as it should be"
            print(f"lethe: {error}  (exit status {error.exit_status})")
        self.told.append((words[0], time.perf_counter() - started, outcome))


def demo(
    user: Annotated[str, typer.Option("--user", help="Who asks to be forgotten.")] = "42",
    *,
    certificate: Annotated[Path, typer.Option(help="Where the subject's certificate goes.")] = Path(
        "demo-certificate.json"
    ),
    page: Annotated[Path, typer.Option("--report", help="Where the page about all of it goes.")] = Path(
        "demo-report.html"
    ),
    root: Root = DEMO_ROOT,
) -> None:
    """Ingest ml-100k, train, recommend for all, forget one, erase, verify, report: about five minutes on two cores.

    \b
    Example:
      lethe demo
    """
    _fresh(root)
    certificate.unlink(missing_ok=True)
    story = Story(root)
    lists = str(root / "recommendations.parquet")
    story.run("ingest", "ml-100k", title="Real data: MovieLens 100K, from the installed RecBole package")
    story.run("train", title="Settings are chosen on validation rows, then everything is fitted on all rows")
    story.run("recommend", "--all", "--out", lists, title="A batch for everybody, resumable after a kill")
    story.run("recommend", user, "--explain", title="One person's list, and the history it was made from")
    story.run(
        "recommend", user, "--weight", "0.3", title="The same with the language model's opinion at a weight of 0.3"
    )
    story.run("forget", "user", user, "--dry-run", title="What a forget request would touch")
    story.run("forget", "user", user, title="Forget this person: hidden from every reader when the command returns")
    story.run("recommend", user, expect_refusal=True, title="Nobody can read this person's data any more")
    story.run(
        "erase",
        "--certificate",
        str(certificate),
        title="Remove the person from everything that descends from the rows",
    )
    request = json.loads(certificate.read_text(encoding="utf-8"))["certificates"][0]["request"]
    story.run("verify", request, "--certificate", str(certificate), title="Check it again, from what is on disk now")
    story.run("status", title="Where everything stands")
    story.run("report", "--out", str(page), title="One page of what was forgotten, and what shows it")
    print("\n── Report\n" + _report(story))
    print(f"the page: {page.resolve()}")


def _report(story: Story) -> str:
    rows = [(f"lethe {name}", round(seconds, 2), outcome) for name, seconds, outcome in story.told]
    total = sum(seconds for _, seconds, _ in story.told)
    files_left = sum(1 for path in story.root.rglob("*") if path.is_file())
    return "\n".join(
        [
            table(("command", "seconds", "outcome"), rows),
            f"\n{total:.0f} seconds in all; {files_left} files in {story.root}, none of which holds the person's id.",
        ]
    )


def _fresh(root: Path) -> None:
    if root.exists() and any(root.iterdir()) and not (root / MARK).exists():
        raise LetheError(f"{root} holds something that no demo made; name another --root")
    files.destroy(root)
    root.mkdir(parents=True)
    files.write_json(root / MARK, {"made by": "lethe demo", "python": sys.version.split()[0]})
