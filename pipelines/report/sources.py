"""What cannot be shown, and how each number of the page was made."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version

from pipelines import certificate
from pipelines.report.comparison import Comparison
from pipelines.report.kept import Shelf
from pipelines.report.markup import Html, Row, code, join, listed, short, table, tag, typed
from pipelines.report.requests import moment
from pipelines.report.state import StoreState

_OWN = (
    "an adapter changes what the language model answers; the base beside it still holds the concept",
    'figures under "a quick look" or "a quick run" come from few people or short trainings, and are no results',
    "a measurement says what it found on the rows of this store; it does not speak of other catalogues or models",
)


def limits(state: StoreState) -> Html:
    """What the certificates say is beyond reach, and what the page itself cannot tell."""
    told = dict.fromkeys(line for one in state.erases for line in (one.certificate or {}).get("limits", ()))
    return listed(typed(line) for line in [*(told or certificate.LIMITS), *_OWN])


def made(state: StoreState, shelf: Shelf, found: Sequence[Comparison], page: str) -> Html:
    """Data, splits, commands and versions."""
    return join(_made(state, shelf, found, page))


def _made(state: StoreState, shelf: Shelf, found: Sequence[Comparison], page: str) -> Iterator[Html]:
    told = (
        "Every measured figure comes from cells that the store keeps; the command beside it finds them again, measures "
    )
    told += "nothing that is kept, and works all figures out anew. With --out (or --page) it writes them out as files. "
    yield tag("p", told, "Lethe ", version("lethe-rec"), ", data epoch ", state.epoch, "; this page: ", code(page), ".")
    if found:
        headers: Row = ("what", "command", "seed", "data", "language model", "cells")
        rows = ((c.title, code(c.command), c.seed, c.data, short(c.model), str(c.cells)) for c in found)
        yield table(headers, rows, "How the comparisons were made")
    if state.sources:
        headers = ("source", "sha256", "kind", "read at")
        rows2 = ((s["name"], short(s["sha256"]), s["kind"], moment(s["at"])) for s in state.sources)
        yield table(headers, rows2, "Data that was read, by its hash")
    if state.splits:
        headers = ("split", "recipe", "seed", "hash")
        every = state.splits.values()
        yield table(headers, ((s.name, _recipe(s.recipe), str(s.seed), short(s.hash)) for s in every), "Stored splits")
    if shelf.damaged:
        yield table(
            ("cell", "what is wrong"), shelf.damaged.items(), "Cells that are left out because they are damaged"
        )


def _recipe(recipe: dict[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in recipe.items())
