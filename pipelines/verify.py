"""Checks an erased request again, from what is on disk now. Recorded model audits are shown, not run again."""

from collections.abc import Sequence
from dataclasses import dataclass

from db import artifacts, files, ledger, purge, requests
from db.errors import LetheError
from db.records import ForgetRequest, State, UserId, Verdict
from db.store import Store, Unit
from pipelines import certificate, reduce
from pipelines.certificate import Document
from pipelines.erase import scan
from unlearning.audit import lineage


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, and whether it is as it should be."""

    name: str
    passed: bool
    detail: str
    binding: bool = True
    """Whether the request stands or falls by it; else it is told, and decides nothing."""

    @property
    def outcome(self) -> str:
        """In a word."""
        return "ok" if self.passed else "FAILED" if self.binding else "told"


GATES = ("lineage", "shield", "residue", "ease-residual")
"""Audits by which an exact erase stands or falls; those of models have limits that chance exceeds now and then."""


def verify(store: Store, request: str, subject: Document | None = None) -> list[Check]:
    """Ledger, state, lineage, hashes and recorded audits; with the subject's certificate also commitment and residue.

    A reduced request is not erased, and fails; what its grade claims is checked beside that. Nothing is repaired.
    Raises LetheError for an unknown request.
    """
    with store.reading() as unit:
        found = requests.get(unit, request)
        checks = [_ledger(unit), _state(found), *_recorded(unit, found), _kept(unit, found)]
        checks += [_bytes(unit), _versions(unit, found), *_reduced(unit, found)]
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
    erased, grade = request.state is State.ERASED, certificate.GRADES[request.state]
    left = "" if erased else f", grade {grade}: `lethe erase` ends it"
    return Check("state", erased, f"request is {request.state.value}{left}")


def _reduced(unit: Unit, request: ForgetRequest) -> list[Check]:
    """Of a reduced request: whether every live backbone that descends from its rows was brought near to those left."""
    if not request.reduced:
        return []
    old = [a for a in artifacts.descending(unit, request.epoch) if a.kind == "backbone" and a.state == artifacts.LIVE]
    bare = [a.name for a in old if reduce.rows_epoch(a) < request.epoch]
    methods = ", ".join(f"{a.name} by {a.settings['method']}" for a in old if a.name not in bare)
    return [Check("reduced", not bare, f"not reduced: {', '.join(bare)}" if bare else methods or "nothing descends")]


def _recorded(unit: Unit, request: ForgetRequest) -> list[Check]:
    return [
        Check(f"recorded {verdict.audit}", verdict.passed, _words(verdict), binding=verdict.audit in GATES)
        for verdict in requests.verdicts_of(unit, request.id)
    ]


def _versions(unit: Unit, request: ForgetRequest) -> Check:
    """Whether a backbone from before the request is left that could be compared with the live one."""
    everything = artifacts.every(unit, "backbone")
    before = [a for a in everything if a.data_epoch < request.epoch and a.state != artifacts.LIVE]
    left = [f"{a.name} generation {a.generation}" for a in before if artifacts.bytes_of(unit.root, a)]
    told = f"all {len(before)} generations from before the request are destroyed: nothing is left to compare with"
    return Check("versions", not left, f"still there: {', '.join(left)}" if left else told)


def _kept(unit: Unit, request: ForgetRequest) -> Check:
    path = certificate.kept_path(unit.root, request.id)
    if not path.exists():
        return Check("certificate", False, f"{path.name} is missing from the root")
    try:
        (document,) = certificate.read_documents([path])
    except LetheError as error:
        return Check("certificate", False, str(error))
    fits = document.get("commitment") == certificate.commitment_of(unit, request)
    fits = fits and document.get("grade") == certificate.GRADES[request.state]
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
    user = UserId(held["user"])
    with store.reading() as unit:
        holds = [shard.name for shard in lineage.holding(unit, user, request.epoch)]
        fits = purge.commitment(held["salt"], held["user"]) == certificate.commitment_of(unit, request)
        stands = ledger.holds(unit, str(document.get("ledger")))
    return [
        Check("commitment", fits, "salt and id give the stored commitment" if fits else "salt and id do not fit"),
        Check("ledger entry", stands, "the certificate's ledger hash stands in the chain"),
        Check("shards", not holds, ", ".join(holds) or "no older shard is the person's by its rule"),
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
    named = (("limit", verdict.limit), ("oracle", verdict.oracle), ("control", verdict.control))
    figures = ", ".join(f"{name} {figure:g}" for name, figure in named if figure is not None)
    state = "control not found: void" if verdict.void else "" if verdict.passed else "over its limit"
    return "; ".join(filter(None, [f"{verdict.value:g} ({figures})", state, verdict.detail]))
