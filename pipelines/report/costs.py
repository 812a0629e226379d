"""What forgetting cost: seconds of trainings, erases and adapters, as the store recorded them."""

from collections.abc import Iterator

from db.artifacts import Artifact
from pipelines.report.markup import Html, Row, code, join, table, tag
from pipelines.report.state import Erase, StoreState


def section(state: StoreState) -> Html:
    """Tables of what took how long."""
    return join(_blocks(state))


def _blocks(state: StoreState) -> Iterator[Html]:
    timed = [a for a in state.trained if a.settings.get("seconds") is not None]
    if timed:
        total = sum(_seconds(a) for a in timed)
        headers: Row = ("artefact", "generation", "by", "data epoch", "state", "seconds")
        caption = f"Trainings of models and adapters, {total:,.1f} seconds in all"
        yield table(headers, (_training(a) for a in timed), caption)
    else:
        yield tag("p", "No training has been recorded yet: ", code("lethe train"), " makes one.", class_="absent")
    if state.erases:
        headers = ("request", "steps recorded", "seconds of work", "longest step", "from asked to erased")
        yield table(
            headers, (_erase(one) for one in state.erases), "Requests: work that receipts tell, and time passed"
        )
        yield tag(
            "p", "Rows are hidden by the command that takes the request; work shared by requests is told by each."
        )


def _seconds(artifact: Artifact) -> float:
    return float(artifact.settings["seconds"])


def _training(artifact: Artifact) -> Row:
    by = str(artifact.settings.get("method", ""))
    place = (str(artifact.generation), by, str(artifact.data_epoch), artifact.state)
    return (f"{artifact.kind}/{artifact.name}", *place, f"{_seconds(artifact):,.2f}")


def _erase(one: Erase) -> Row:
    longest = max(one.receipts, key=lambda receipt: receipt.seconds, default=None)
    passed = one.erased_at and one.erased_at - one.standing.request.accepted_at
    return (
        code(one.standing.request.id),
        str(len(one.receipts)),
        f"{sum(receipt.seconds for receipt in one.receipts):,.2f}",
        "" if longest is None else f"{longest.action} {longest.artifact}",
        f"{passed.total_seconds():,.0f} s" if passed else "not erased yet",
    )
