"""`lethe`: the entry point. Heavy libraries are imported by the command that needs them."""

import sys
from collections.abc import Callable

import typer
from click import Context
from typer.core import TyperGroup

from db.errors import LetheError
from pipelines.cli import (
    compare,
    demo,
    doctor,
    drift,
    erase,
    evaluate,
    forget,
    ingest,
    localise,
    recommend,
    report,
    restore,
    status,
    train,
)

COMMANDS: dict[str, typer.Typer | Callable[..., None]] = {
    "ingest": ingest.app,
    "train": train.train,
    "recommend": recommend.recommend,
    "forget": forget.app,
    "restore": restore.app,
    "erase": erase.erase,
    "status": status.status,
    "verify": erase.verify,
    "evaluate": evaluate.app,
    "compare": compare.compare,
    "drift": drift.drift,
    "localise": localise.localise,
    "report": report.report,
    "doctor": doctor.doctor,
    "demo": demo.demo,
}
"""In the order of the way through, which is also the order of `lethe --help`."""


class WayThrough(TyperGroup):
    """Lists commands and groups of commands together; typer alone puts the groups last."""

    def list_commands(self, ctx: Context) -> list[str]:
        """The names as `COMMANDS` has them."""
        known = super().list_commands(ctx)
        return [name for name in COMMANDS if name in known]


app = typer.Typer(
    name="lethe",
    cls=WayThrough,
    help="A recommender that can forget, and can prove it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for name, command in COMMANDS.items():
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name)(command)


def main() -> None:
    """Run a command; an error a person can put right is one line on standard error."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(_told("stopped; what was committed is safe, run the same command again", 130))
    except LetheError as error:
        sys.exit(_told(str(error), error.exit_status))
    except UnicodeEncodeError as error:
        sys.exit(_told(f"{error.object!a} is no UTF-8 text; give ids, names and paths in UTF-8", 1))
    except OSError as error:
        sys.exit(_told(f"{error.filename or 'input'}: {error.strerror or error}", 1))


def _told(message: str, status_code: int) -> int:
    print(f"lethe: {' '.join(message.split())}", file=sys.stderr)
    return status_code


if __name__ == "__main__":
    main()
