"""`lethe restore`: what can be taken back."""

import typer

from pipelines.cli.concept import restore

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def about() -> None:
    """Take back that something was forgotten, where that can be."""


app.command("concept")(restore)
