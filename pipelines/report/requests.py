"""What was asked to be forgotten, and how far that has come: in one line, in words, and request by request."""

from collections.abc import Iterator
from datetime import datetime

from db.records import ConceptRequest, ConceptState, State
from pipelines import certificate
from pipelines.report.markup import Html, Row, code, join, short, table, tag
from pipelines.report.state import Erase, StoreState

_STATES = {
    State.ACCEPTED: "accepted: written down, rows not hidden yet",
    State.SHIELDED: "hidden from every reader; models made before still descend from the rows",
    State.REDUCED: "hidden, and made faint in the models by an approximate method; open until an exact erase",
    State.ERASED: "erased: no live artefact descends from the rows, and their bytes are purged",
}

_CONCEPTS = {
    ConceptState.ACCEPTED: "accepted: a model is still to forget it",
    ConceptState.HIDDEN: "hidden: no list offers its items, no prompt names one",
    ConceptState.UNLEARNED: "unlearned: what passed its gates acts, an adapter on the language model or other ids",
}


def in_one_line(state: StoreState) -> str:
    """How many asked, how many requests are done, and what is pending."""
    people, concepts = len(state.erases), len(state.concepts)
    if not people + concepts:
        return "Nobody has asked for anything to be forgotten yet."
    done = sum(one.done for one in state.erases) + sum(not one.open for one in state.concepts)
    left = people + concepts - done
    late = sum(one.standing.overdue for one in state.erases)
    pending = f"{left} {'is' if left == 1 else 'are'} pending" if left else "nothing is pending"
    told = [_number(people, "request to forget a person's data", "requests to forget a person's data")] * (people > 0)
    told += [_number(concepts, "concept to be forgotten", "concepts to be forgotten")] * (concepts > 0)
    ended = f"{' and '.join(told)}: {done} done, {pending}"
    return ended + (f", {late} past the deadline." if late else ".")


def section(state: StoreState) -> Html:
    """The tables of both kinds of request."""
    return join(_blocks(state))


def _blocks(state: StoreState) -> Iterator[Html]:
    yield tag("h3", "A person's data")
    yield tag(
        "p", "People are told by the request's id and a commitment, a salted hash that only its subject can open."
    )
    if state.erases:
        headers: Row = (
            "request",
            "commitment",
            "rows",
            "state",
            "grade",
            "asked",
            "done",
            "due",
            "layers",
            "open steps",
        )
        yield table(headers, (_person(one) for one in state.erases), "Requests to forget a person's data")
    else:
        yield tag("p", "None: ", code("lethe forget user ID"), " makes one.", class_="absent")
    yield tag("h3", "Concepts")
    if state.concepts:
        headers = ("request", "concept", "for", "kind", "items", "layer", "state", "asked", "still open")
        yield table(headers, (_concept(one) for one in state.concepts), "Requests to forget a concept")
    else:
        yield tag("p", "None: ", code("lethe forget concept NAME"), " makes one.", class_="absent")


def _person(one: Erase) -> Row:
    request = one.standing.request
    layers = dict.fromkeys(receipt.layer for receipt in one.receipts)
    return (
        code(request.id),
        short(one.commitment, 16),
        f"{request.rows:,}",
        _STATES[request.state],
        _grade(one),
        moment(request.accepted_at),
        moment(one.erased_at),
        f"{request.deadline:%Y-%m-%d}" + (" (overdue)" if one.standing.overdue else ""),
        ", ".join(layers),
        " ".join(one.standing.steps),
    )


def _grade(one: Erase) -> str:
    by = f" by {', '.join(one.standing.methods)}" if one.standing.methods else ""
    return certificate.GRADES[one.standing.request.state] + by


def _concept(one: ConceptRequest) -> Row:
    """The name of what one person asked for is theirs, and is not told."""
    own = one.user is not None
    open_ = (one.detail or "the model has not forgotten it yet") if one.open else ""
    return (
        code(one.id),
        tag("em", "one person's own") if own else one.name,
        "one person" if own else "everybody",
        one.kind,
        str(len(one.items)),
        one.layer.value,
        _CONCEPTS[one.state],
        moment(one.accepted_at),
        open_,
    )


def moment(at: datetime | None) -> str:
    """A time to the minute; empty for none."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


def _number(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
