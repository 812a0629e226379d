"""What a subject gets in the end: what was done, by which means, what was checked, and what is beyond reach."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from db import files, jobs, ledger, people, purge, requests
from db.errors import LetheError
from db.records import ForgetRequest, State
from db.requests import describe
from db.store import Unit

LIMITS = (
    "freed disk blocks, remapped SSD cells, file-system snapshots and backups are beyond the program's reach",
    "copies that others exported or read before the request are beyond its reach",
    "a keyed hash of what was forgotten stays, so that reading the same source again cannot bring it back; "
    "`lethe ingest --readmit` lifts it",
    "the ledger keeps when the request came and how many rows it named",
    "of a backbone in shards, receipts keep which shards held the rows",
)

HISTORY = "history"
"""In a certificate that waits for its delivery, and nowhere else."""

EXCLUDED, REDUCED, EXACT = "excluded from retrieval", "reduced", "exact"
"""The grades: hidden from every reader; beside that, made faint in the models by an approximate method; gone."""

GRADES = {State.ACCEPTED: EXCLUDED, State.SHIELDED: EXCLUDED, State.REDUCED: REDUCED, State.ERASED: EXACT}

_OPEN_LIMITS = {
    EXCLUDED: "the rows are hidden from every reader, not deleted: models made before the request descend from them",
    REDUCED: "an approximate method worked on the backbone, which still descends from the rows; they are hidden, not "
    "deleted, and the audits say how far it is from a model that never saw them",
}

Document = dict[str, Any]


def draw_up(unit: Unit, request: ForgetRequest) -> Document:
    """The certificate before the purge, with the subject's id and salt in it. Kept under `certificates/pending`.

    Of a whole person it also holds the history, until it is delivered: the scan for residue looks for that.
    """
    document = _drawn(unit, request, EXACT)
    return {**document, HISTORY: people.hidden_history(unit, request.id) if request.selection.whole_user else {}}


def interim(unit: Unit, request: ForgetRequest) -> Document:
    """What holds of an open request, with its grade, the audits so far, and what an exact erase has yet to do."""
    grade = GRADES[request.state]
    document = _drawn(unit, request, grade)
    limits = [_OPEN_LIMITS[grade], f"the request stays open until `lethe erase`, due {request.deadline:%Y-%m-%d}"]
    return {**document, "audits": _audits(unit, request), "limits": [*limits, *document["limits"]]}


def _drawn(unit: Unit, request: ForgetRequest, grade: str) -> Document:
    held = purge.subject(unit, request.id)
    if held is None:
        raise LetheError(f"request {request.id} is purged already; its certificate cannot be drawn up again")
    user, salt = held
    return {
        "lethe": version("lethe-rec"),
        "request": request.id,
        "subject": {"user": user, "salt": salt, "named": describe(request.selection)},
        "commitment": purge.commitment(salt, user),
        "grade": grade,
        "accepted_at": request.accepted_at.isoformat(),
        "rows": request.rows,
        "receipts": [_plain(receipt) for receipt in requests.receipts_of(unit, request.id)],
        "audits": [],
        "exports_beyond_reach": jobs.exports_before(unit, request.epoch),
        "limits": list(LIMITS),
        "ledger": ledger.head(unit),
    }


def complete(unit: Unit, document: Document, extra_limits: Iterable[str]) -> Document:
    """The certificate after purge and scrub, with every audit and the ledger's newest hash."""
    request = requests.get(unit, document["request"])
    return {
        **{key: value for key, value in document.items() if key != HISTORY},
        "audits": _audits(unit, request),
        "limits": [*document["limits"], *extra_limits],
        "ledger": ledger.head(unit),
        "erased_at": datetime.now(UTC).replace(microsecond=0).isoformat(),
    }


def commitment_of(unit: Unit, request: ForgetRequest) -> str | None:
    """The commitment of a request, before its purge as after it."""
    held = purge.subject(unit, request.id)
    return purge.commitment_of(unit, request.id) if held is None else purge.commitment(held[1], held[0])


def without_subject(document: Document) -> Document:
    """The copy that the root keeps: neither id nor salt."""
    return {key: value for key, value in document.items() if key != "subject"}


def pending_path(root: Path, request: str) -> Path:
    """Where a subject's certificate waits between purge and delivery."""
    return root / "certificates" / "pending" / f"{request}.json"


def kept_path(root: Path, request: str) -> Path:
    """The root's own copy."""
    return root / "certificates" / f"{request}.json"


def pending(root: Path) -> list[Document]:
    """Certificates that were drawn up and not delivered yet."""
    return read_documents(sorted((root / "certificates" / "pending").glob("*.json")))


def read_documents(paths: Iterable[Path]) -> list[Document]:
    """One certificate from each file. Raises LetheError where a file holds anything else."""
    found = [(path, _read(path)) for path in paths]
    for path, document in found:
        if not isinstance(document, dict) or "request" not in document:
            raise LetheError(f"{path} is not a certificate of lethe; restore it from a backup")
    return [document for _, document in found]


def check_target(path: Path, root: Path) -> None:
    """Refuse a certificate file inside the root, or one that holds something else."""
    if path.resolve().is_relative_to(root.resolve()):
        raise LetheError(f"{path} lies inside the root, which must not keep the subject's id; name a file elsewhere")
    if not path.parent.is_dir():
        raise LetheError(f"{path.parent} is no folder; make it, or name another certificate file")
    if path.exists():
        read_file(path)


def deliver(path: Path, documents: Iterable[Document]) -> None:
    """Write certificates to the subject's file; those that it holds already stay."""
    held = {document["request"]: document for document in (read_file(path) if path.exists() else [])}
    held |= {document["request"]: document for document in documents}
    files.write_json(path, {"certificates": list(held.values())})


def read_file(path: Path) -> list[Document]:
    """The certificates of a file. Raises LetheError where it holds anything else."""
    document = _read(path)
    found = document.get("certificates") if isinstance(document, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) and "request" in one for one in found):
        raise LetheError(f"{path} is not a certificate file of lethe; name the file that `lethe erase` wrote")
    return found


def _audits(unit: Unit, request: ForgetRequest) -> list[Document]:
    return [
        {**_plain(verdict), "passed": verdict.passed, "void": verdict.void}
        for verdict in requests.verdicts_of(unit, request.id)
    ]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise LetheError(f"{path} cannot be read as a certificate: {error}") from error


def _plain(record: Any) -> Document:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name in record.__slots__
        if (value := getattr(record, name)) is not None and name != "request"
    }
