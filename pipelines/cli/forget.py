"""`lethe forget user`, and `lethe forget concept` beside it."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from db.errors import LetheError
from db.records import ForgetRequest, ItemId, Selection, UserId
from pipelines.cli.concept import concept
from pipelines.cli.options import ROOT, Json, Root, open_store
from pipelines.cli.output import emit, say, table

if TYPE_CHECKING:
    from db.store import Store
    from pipelines.forget import Touched

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Deadline = Annotated[int, typer.Option("--deadline", min=1, max=3650, help="Days until `lethe status` calls it late.")]


@app.callback()
def about() -> None:
    """Ask the system to forget."""


@app.command()
def user(
    user: Annotated[str | None, typer.Argument(help="A person's id; - reads ids from standard input.")] = None,
    *,
    users_file: Annotated[
        Path | None, typer.Option(help="File with one id a line (kept out of shell history).")
    ] = None,
    item: Annotated[list[str] | None, typer.Option(help="Only this item; may be repeated.")] = None,
    category: Annotated[list[str] | None, typer.Option(help="Only items of this category; may be repeated.")] = None,
    before: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only rows before this day (UTC).")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List every place it would touch; change nothing.")
    ] = False,
    now: Annotated[bool, typer.Option("--now", help="Go on to `lethe erase` at once.")] = False,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="File outside the root for what holds from now on.")
    ] = None,
    deadline: Deadline = 30,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Forget a person, or some of what a person did.

    The rows are hidden from every reader when this returns (exit status 0); `lethe erase` then removes them from
    every artefact. An item that a person asked to forget is as if never seen: it may be recommended again. A
    --certificate of now has the grade "excluded from retrieval"; `lethe erase` replaces it in the same file.

    \b
    Examples:
      lethe forget user 42
      lethe forget user 42 --category Horror --before 1998-01-01
      lethe forget user --users-file leavers.txt --dry-run
      printf '42\\n' | lethe forget user -
    """
    from pipelines.certificate import check_target
    from pipelines.forget import forget, hide_files, preview

    if dry_run and now:
        raise typer.BadParameter("--dry-run changes nothing and --now erases; give one of them")
    people = _people(user, users_file)
    selection = _selection(item, category, before)
    store = open_store(root)
    if certificate is not None:
        check_target(certificate, store.root)
    if dry_run:
        touched = preview(store, people, selection)
        emit(touched, as_json=as_json, text=lambda: _preview(touched))
        return
    made = forget(store, people, selection, now=datetime.now(UTC), deadline=timedelta(days=deadline))
    if now and as_json:  # one document at the end; the ids are told all the same before anything else is done
        say("accepted: " + " ".join(request.id for request in made))
    else:
        emit(made, as_json=as_json, text=lambda: _made(made))
    hide_files(store)
    if certificate is not None:
        _hand_out(store, made, certificate)
    if now:
        _erase(store, made, certificate, as_json=as_json)


app.command("concept")(concept)


def _hand_out(store: "Store", made: list[ForgetRequest], target: Path) -> None:
    from pipelines.certificate import deliver, interim

    with store.reading() as unit:
        documents = [interim(unit, request) for request in made]
    deliver(target, documents)


def _erase(store: "Store", made: list[ForgetRequest], certificate: Path | None, *, as_json: bool) -> None:
    from pipelines.cli.erase import erased, plain_erased, run_erase  # torch and friends: only when asked for

    done, shown = run_erase(store, certificate=certificate)
    told = {"accepted": made, "erased": plain_erased(done, shown)}
    emit(told, as_json=as_json, text=lambda: erased(done, shown, certificate))


def _people(user: str | None, users_file: Path | None) -> list[UserId]:
    if (user is None) == (users_file is None):
        raise typer.BadParameter("give one USER, - for standard input, or --users-file FILE")
    if users_file is not None:
        return read_ids(users_file)
    if user == "-":
        return _ids(sys.stdin.buffer.read(), "standard input")
    return [UserId(str(user))]


def read_ids(path: Path) -> list[UserId]:
    """Ids from a file, one a line; blank lines are passed over. Raises LetheError when there is none."""
    try:
        return _ids(path.read_bytes(), str(path))
    except OSError as error:
        raise LetheError(f"{path} cannot be read: {error.strerror}; name a file with one id a line") from error


def _ids(data: bytes, source: str) -> list[UserId]:
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise LetheError(f"{source} is no UTF-8 text (byte {error.start}); give one id a line") from error
    people = [UserId(line.strip()) for line in lines if line.strip()]
    odd = next((user for user in people if not user.isprintable()), None)
    if odd is not None:
        raise LetheError(f"{source} holds {odd[:60]!a}, which is no id: it has control characters")
    if not people:
        raise LetheError(f"{source} names nobody; give one id a line")
    return people


def _selection(item: list[str] | None, category: list[str] | None, before: datetime | None) -> Selection:
    return Selection(
        tuple(ItemId(i) for i in item or ()), tuple(category or ()), before.replace(tzinfo=UTC) if before else None
    )


def _preview(touched: "list[Touched]") -> str:
    rows = [(t.place, t.count, t.when, t.how) for t in touched]
    return table(("place", "count", "when", "how"), rows) + "\n(nothing was changed)"


def _made(made: list[ForgetRequest]) -> str:
    rows = [(r.id, r.state.value, r.rows, f"{r.deadline:%Y-%m-%d}") for r in made]
    say("hidden from every reader now; `lethe erase` removes what descends from these rows")
    return table(("request", "state", "rows", "erase before"), rows)
