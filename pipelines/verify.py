"""Checks an erased request again, from what is on disk now. Recorded model audits are shown, not run again."""

from collections.abc import Sequence
from dataclasses import dataclass

from db import artifacts, files, ledger, purge, requests
from db.errors import LetheError
from db.records import ForgetRequest, RequestId, State, Verdict
from db.store import Store, Unit
from pipelines import certificate
from pipelines.certificate import Document
from pipelines.erase import scan
from unlearning.audit import lineage


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, and whether it is as it should be."""

    name: str
    passed: bool
    detail: str


def verify(store: Store, request: str, subject: Document | None = None) -> list[Check]:
    """Ledger, state, lineage, hashes and recorded audits; with the subject's certificate also commitment and residue.

    Nothing is repaired. Raises LetheError for an unknown request.
    """
    with store.reading() as unit:
        found = requests.get(unit, request)
        checks = [_ledger(unit), _state(found), *_recorded(unit, found), _kept(unit, found)]
        checks += [_bytes(unit)]
    checks.append(_of(lineage.verdict(store, [found])))
    if subject is not None:
        checks += _subject(store, found, subject)
    return checks


def _ledger(unit: Unit) -> Check:
    try:
        return Check("ledger", True, f"{ledger.verify(unit)} entries, chain whole")
    except ledger.LedgerError as error:
        return Check("ledger", False, str(error))


def _state(request: ForgetRequest) -> Check:
    return Check("state", request.state is State.ERASED, f"request is {request.state.value}")


def _recorded(unit: Unit, request: ForgetRequest) -> list[Check]:
    audits = requests.verdicts_of(unit, request.id)
    return [Check(f"recorded {verdict.audit}", verdict.passed, _words(verdict)) for verdict in audits]


def _kept(unit: Unit, request: ForgetRequest) -> Check:
    path = certificate.kept_path(unit.root, request.id)
    if not path.exists():
        return Check("certificate", False, f"{path.name} is missing from the root")
    try:
        (document,) = certificate.read_documents([path])
    except LetheError as error:
        return Check("certificate", False, str(error))
    fits = document.get("commitment") == purge.commitment_of(unit, RequestId(request.id))
    told = "the root's copy names nobody and fits the store"
    return Check("certificate", fits and "subject" not in document, told if fits else "the root's copy does not fit")


def _bytes(unit: Unit) -> Check:
    changed = []
    for artifact in artifacts.all_on_disk(unit):
        path = unit.root / artifact.path
        if artifact.state == artifacts.LIVE and (not path.exists() or files.sha256(path) != artifact.sha256):
            changed.append(f"{artifact.kind}/{artifact.name}")
    return Check("hashes", not changed, ", ".join(changed) or "every live artefact is as registered")


def _subject(store: Store, request: ForgetRequest, document: Document) -> list[Check]:
    held = document.get("subject")
    if not isinstance(held, dict) or not all(isinstance(held.get(name), str) for name in ("user", "salt")):
        raise LetheError("the certificate names no subject; give the file that `lethe erase --certificate` wrote")
    with store.reading() as unit:
        fits = purge.commitment(held["salt"], held["user"]) == purge.commitment_of(unit, request.id)
        stands = ledger.holds(unit, str(document.get("ledger")))
    return [
        Check("commitment", fits, "salt and id give the stored commitment" if fits else "salt and id do not fit"),
        Check("ledger entry", stands, "the certificate's ledger hash stands in the chain"),
        _of(scan(store, [document])),
    ]


def choose(documents: Sequence[Document], request: str) -> Document:
    """The certificate of one request out of a file. Raises LetheError when it is not there."""
    for document in documents:
        if document["request"] == request:
            return document
    raise LetheError(f"the certificate file holds nothing on request {request}; name the right file")


def _of(verdict: Verdict) -> Check:
    return Check(verdict.audit, verdict.passed, _words(verdict))


def _words(verdict: Verdict) -> str:
    void = ", control not found: void" if verdict.void else ""
    control = "" if verdict.control is None else f", control {verdict.control:g}"
    return f"{verdict.value:g} (limit {verdict.limit:g}{control}){void}; {verdict.detail}"
