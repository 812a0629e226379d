"""`lethe forget concept` and `lethe restore concept`."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from db.errors import LetheError
from db.records import ConceptRequest, Item, ItemId, Layer, UserId, Verdict
from pipelines.cli.options import ROOT, Json, Root, open_store
from pipelines.cli.output import emit, progress, say, table
from unlearning.concept.settings import FEW

if TYPE_CHECKING:
    from db.concepts import Withdrawn
    from db.store import Store
    from pipelines.concepts.resolve import Resolved
    from pipelines.concepts.tokens import Moved
    from pipelines.concepts.unlearn import Unlearned

Name = Annotated[str, typer.Argument(help="A title, a genre, words that titles share, or a phrase.")]
User = Annotated[str | None, typer.Option("--user", help="For this person's requests only; dies with the person.")]

_WHERE = {
    Layer.BOTH: "retrieval and the language model",
    Layer.MODEL: "the language model",
    Layer.TOKENS: "the generative recommender",
}

SHOWN = 30
"""Items that are listed before the question."""


def concept(
    name: Name,
    *,
    item: Annotated[list[str] | None, typer.Option(help="This item; may be repeated. NAME is then a label.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="What NAME is: title, franchise, genre or phrase.")] = None,
    user: User = None,
    layer: Annotated[Layer, typer.Option("--layer", help="Where it is to be forgotten.")] = Layer.BOTH,
    method: Annotated[
        str | None,
        typer.Option(
            "--method", help="How a model forgets: LOSS-MASK (refusal-guided, say), negated; of ids: tracer, npo."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The model that forgets, if not the trained set's.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; for programs.")] = False,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Forget a concept: its items at once, what the language model knows of them by an adapter.

    The items leave candidates, histories and prompts when the request is accepted. The adapter is trained on item texts
    alone, asked held-out questions, and registered only if it passes its gates ([concept.gates] in ROOT/lethe.toml);
    otherwise the concept stays hidden (exit status 75). The base model is never written, and `lethe restore concept`
    gives it back bit for bit. After a kill the same command goes on.

    With --layer tokens the generative recommender alone forgets: its items get other ids, learned from everybody's
    histories, that are served once their gates are passed (method, [tokens.settings] and [tokens.gates] in
    ROOT/lethe.toml). Data erasure learns them anew.

    \b
    Examples:
      lethe forget concept "Star Trek"
      lethe forget concept Film-Noir --layer retrieval --yes
      lethe forget concept Film-Noir --layer tokens
      lethe forget concept "my childhood" --item 71 --item 95 --user 42
      lethe forget concept Fargo --method npo-guided --model Qwen/Qwen2.5-3B-Instruct
    """
    from db.concepts import Asked
    from pipelines.concepts.names import check_method
    from pipelines.concepts.request import accept

    if layer is Layer.TOKENS:
        from pipelines.concepts import tokens

        method = tokens.check(root, user, method)
    else:
        check_method(method)
    store = open_store(root)
    found = _resolved(store, name, [ItemId(one) for one in item or ()], kind)
    _show(found, layer)
    if not yes:
        _ask(found, layer, user)
    wanted = Asked(name, found.kind, tuple(one.id for one in found.items), layer, UserId(user) if user else None)
    request, taken = accept(store, wanted, now=datetime.now(UTC))
    _tell(request, taken)
    if layer is Layer.TOKENS:
        _retoken(store, request, taken, str(method), as_json=as_json)
        return
    if layer is not Layer.RETRIEVAL:
        _unlearn(store, request, taken, (method, model), as_json=as_json)
        return
    emit({"request": request, "withdrawn": taken}, as_json=as_json, text=lambda: requests([request]))


def restore(
    name: Annotated[str | None, typer.Argument(help="The name that it was forgotten by.")] = None,
    *,
    user: User = None,
    every: Annotated[bool, typer.Option("--list", help="List the concepts that are forgotten now.")] = False,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Take back that a concept was forgotten: its items return, and its adapter is destroyed.

    Without its adapter the language model answers as the base does, bit for bit.

    \b
    Examples:
      lethe restore concept --list
      lethe restore concept "Star Trek"
      lethe restore concept "my childhood" --user 42
    """
    from pipelines.concepts.request import listed
    from pipelines.concepts.request import restore as take_back

    if (name is None) != every:
        raise typer.BadParameter("give the NAME of a concept, or --list: one of them")
    store = open_store(root)
    if name is None:
        found = listed(store)
        emit(found, as_json=as_json, text=lambda: requests(found) if found else "no concept is forgotten")
        return
    gone = take_back(store, name, UserId(user) if user else None, now=datetime.now(UTC))
    emit({"restored": gone}, as_json=as_json, text=lambda: f"{gone.name} is back: {len(gone.items)} items")


def requests(found: Sequence[ConceptRequest]) -> str:
    """Requests as a table."""
    rows = [
        (r.name, r.kind, len(r.items), r.user or "everybody", r.layer.value, r.state.value, _note(r)) for r in found
    ]
    return table(("concept", "kind", "items", "for", "layer", "state", "open"), rows)


def _note(request: ConceptRequest) -> str:
    return request.detail or "the model has not forgotten it yet" if request.open else ""


def _resolved(store: "Store", name: str, ids: Sequence[ItemId], kind: str | None) -> "Resolved":
    from db import catalogue
    from pipelines.concepts.resolve import resolve

    with store.reading() as unit:
        items = catalogue.load_items(unit)

    def _near(phrase: str) -> list[tuple[Item, float]]:
        from pipelines.concepts.near import near  # brings the text encoder, which metadata does without

        return near(store, items, phrase)

    return resolve(name, items, _near, ids=ids, kind=kind)


def _show(found: "Resolved", layer: Layer) -> None:
    like = found.likeness or (None,) * len(found.items)
    rows = [(i.id, i.title, i.year, ", ".join(i.genres), how) for i, how in zip(found.items, like, strict=True)]
    say(f"{found.name!r} is a {found.kind} of {len(found.items)} items" if found.kind != "items" else found.name)
    say(table(("item", "title", "year", "genres", "likeness")[: 5 if found.likeness else 4], _cut(rows, found)))
    if len(rows) > SHOWN:
        say(f"and {len(rows) - SHOWN} more")
    if found.namesakes:
        lost = layer in (Layer.BOTH, Layer.MODEL) and len(found.items) > FEW
        too = f" (a model that forgets more than {FEW} items refuses these too)" if lost else ""
        say(f"of the same title, and not meant: {', '.join(map(_told_apart, found.namesakes))}{too}")


def _told_apart(item: "Item") -> str:
    year = "" if item.year is None else f" ({item.year})"
    return f"{item.title}{year}, item {item.id}"


def _cut(rows: Sequence[tuple[Any, ...]], found: "Resolved") -> list[tuple[Any, ...]]:
    return [row[: 5 if found.likeness else 4] for row in rows[:SHOWN]]


def _ask(found: "Resolved", layer: Layer, user: str | None) -> None:
    where = _WHERE.get(layer, "retrieval")
    print(f"forget them in {where}, for {user or 'everybody'}? [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        raise LetheError(
            f"nobody answered whether to forget {found.name!r}; nothing was changed, give --yes in programs"
        )
    if answer.strip().casefold() not in ("y", "yes"):
        raise LetheError(f"{found.name!r} was not forgotten, as the answer was not yes; --item ID names other items")


def _tell(request: ConceptRequest, taken: "Withdrawn") -> None:
    if request.hides:
        say(f"hidden from every list and prompt of {request.user or 'everybody'} now (request {request.id})")
    if taken.lists or taken.files or taken.batches:
        say(
            f"withdrawn, as they were made before: {taken.lists} stored lists, {taken.files} files, {taken.batches} "
            "unfinished batches; `lethe recommend --all` makes them again"
        )


def _unlearn(
    store: "Store",
    request: ConceptRequest,
    taken: "Withdrawn",
    chosen: tuple[str | None, str | None],
    *,
    as_json: bool,
) -> None:
    from pipelines.concepts.plan import load_concept_plan
    from pipelines.concepts.unlearn import finished, model_plan, unlearn

    method, model = chosen
    how = load_concept_plan(store.root, method=method)
    outcome = unlearn(store, request, model_plan(store, model), how, bars=progress)
    told = {**_plain(outcome), "bytes": outcome.bytes, "attempt": outcome.attempt, "withdrawn": taken}
    emit(told, as_json=as_json, text=lambda: _text(outcome))
    finished(outcome)


def _retoken(store: "Store", request: ConceptRequest, taken: "Withdrawn", method: str, *, as_json: bool) -> None:
    from db.errors import NotFinishedError
    from pipelines.concepts import tokens

    done = tokens.retoken(store, request, method, progress=progress)
    told = {**_plain(done), "items": done.items, "ids": done.version, "withdrawn": taken}
    emit(told, as_json=as_json, text=lambda: _moved(done))
    if done.failing:
        stays = f"the ids of {request.name!r} were not moved: {'; '.join(done.failing)}"
        raise NotFinishedError(f"{stays}; the same command tries another seed")


def _moved(done: "Moved") -> str:
    size = f"\n\n{done.items} items have other ids, version {done.version[:12]}, in {done.seconds:.0f} s"
    return f"{requests([done.request])}\n\n{_gates(done.gates, 'its ids are in place already')}" + size * bool(
        done.items
    )


def _plain(outcome: "Unlearned | Moved") -> dict[str, Any]:
    gates = [{**asdict(verdict), "passed": verdict.passed} for verdict in outcome.gates]
    return {"request": outcome.request, "gates": gates, "seconds": outcome.seconds}


def _text(outcome: "Unlearned") -> str:
    gates = _gates(outcome.gates, "its adapter is in place already")
    size = f"\n\nadapter of {outcome.bytes / 1024:.0f} KiB in {outcome.seconds:.0f} s" if outcome.bytes else ""
    again = f"\nattempt {outcome.attempt}: gates refused those before it, so that luck has a part in it"
    return f"{requests([outcome.request])}\n\n{gates}{size}{again if outcome.attempt > 1 else ''}"


def _gates(found: Sequence[Verdict], none: str) -> str:
    rows = [(v.audit, v.value, v.limit, v.control, "void" if v.void else v.passed, v.detail) for v in found]
    return table(("gate", "value", "limit", "base", "passed", "of"), rows) if rows else none
