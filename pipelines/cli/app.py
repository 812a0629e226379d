"""`lethe`: the entry point. Heavy libraries are imported by the command that needs them."""

import sys

import typer

from db.errors import LetheError
from pipelines.cli import demo, doctor, erase, forget, ingest, recommend, status, train

app = typer.Typer(
    name="lethe",
    help="A recommender that can forget, and can prove it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(ingest.app, name="ingest")
app.command()(train.train)
app.command()(recommend.recommend)
app.add_typer(forget.app, name="forget")
app.command()(erase.erase)
app.command()(status.status)
app.command()(erase.verify)
app.command()(doctor.doctor)
app.command()(demo.demo)


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
