"""Audits of each erase beside their limits and controls, the certificates, and the ledger."""

from collections.abc import Iterator

from db.records import Verdict
from pipelines.report.markup import Html, Row, absent, code, details, join, short, table, tag
from pipelines.report.state import Erase, StoreState

PASSED, FAILED, VOID = "passed", "failed", "void"

_FIRST = 8
"""Requests whose tables stand open; those of older ones open on demand."""

_LEGEND = (
    "An audit passes where its value is within the limit and its positive control (the same search for something that "
    "is known to be there) was found. Without a working control it is void, whatever the value."
)


def section(state: StoreState) -> Html:
    """Everything that shows what became of each request."""
    return join(_blocks(state))


def counts(state: StoreState) -> dict[str, int]:
    """How all audits ended."""
    found = [outcome(verdict) for one in state.erases for verdict in one.verdicts]
    return {name: found.count(name) for name in (PASSED, FAILED, VOID)}


def outcome(verdict: Verdict) -> str:
    """In a word."""
    return VOID if verdict.void else PASSED if verdict.passed else FAILED


def _blocks(state: StoreState) -> Iterator[Html]:
    yield tag("p", tag("strong", "Ledger "), state.chain, ".", class_="good" if state.whole else "bad")
    yield tag("p", _LEGEND)
    audited = [one for one in reversed(state.erases) if one.verdicts or one.certificate is not None]
    if not audited:
        yield absent("No request was audited yet:", "lethe erase")
    for place, one in enumerate(audited):
        told = join(_request(one))
        yield tag("h3", "Request ", code(one.standing.request.id))
        yield told if place < _FIRST else details("Audits and certificate", told)


def _request(one: Erase) -> Iterator[Html]:
    request = one.standing.request
    headers = ("audit", "value", "limit", "oracle", "positive control", "outcome", "detail")
    if one.verdicts:
        yield table(headers, (_verdict(verdict) for verdict in one.verdicts), f"Audits of {request.id}")
    else:
        yield absent("No audit is on record:", "lethe erase")
    yield tag("p", _certificate(one), " Check it again: ", code(f"lethe verify {request.id}"), ".")


def _verdict(verdict: Verdict) -> Row:
    ended = outcome(verdict)
    figures = (verdict.value, verdict.limit, verdict.oracle, verdict.control)
    told = tag("strong", ended, class_={PASSED: "good", FAILED: "bad"}.get(ended, "open"))
    return (verdict.audit, *("" if one is None else f"{one:.4g}" for one in figures), told, verdict.detail)


def _certificate(one: Erase) -> Html:
    """What the root's own copy says, and whether it belongs to the request."""
    held = one.certificate
    if held is None:
        return Html("The root holds no certificate of it.")
    fits = held.get("commitment") == one.commitment
    told = "fits the store" if fits else tag("strong", "does not fit the store", class_="bad")
    reach = len(held.get("exports_beyond_reach", ()))
    exports = f"{reach} exported file{'s'[: reach != 1]} beyond reach"
    parts = ("Certificate of grade ", tag("strong", held.get("grade")), ", ledger hash ", short(held.get("ledger")))
    return join([*parts, ": the root's copy names nobody and ", told, f"; {exports}."], "")
