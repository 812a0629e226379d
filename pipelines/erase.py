"""Erase: rebuild, audit, purge, scrub, certify. Every stage can be killed and run again; `erased` is said last."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from db import catalogue, files, people, purge, requests
from db.errors import NotFinishedError
from db.records import ForgetRequest, RequestId, State, UserId, Verdict
from db.store import Store
from pipelines import certificate, reduce
from pipelines.certificate import Document
from pipelines.generations import sweep
from pipelines.rebuild import live, rebuild, residual_verdict
from pipelines.training import verdicts
from pipelines.training.job import Progress, quiet
from unlearning.audit import lineage, residue
from unlearning.data.shield import Shield

HandOver = Callable[[Sequence[Document]], None]
"""Gives the subjects' certificates out; called before the root forgets whom they are about."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What one `lethe erase` finished."""

    requests: tuple[RequestId, ...]
    interactions: int
    certificates: tuple[Document, ...]
    """As the root keeps them: without id and salt."""
    reduced: tuple[RequestId, ...] = ()
    """Requests that an approximate method worked on: they are open still."""


@dataclass(frozen=True, slots=True)
class Way:
    """By which method, and whether the models are audited."""

    method: str | None
    full: bool = False


def erase(
    store: Store, hand_over: HandOver, *, method: str | None = None, full: bool = False, progress: Progress = quiet
) -> Erased:
    """Finish every open request together. With an approximate method they end as `reduced`, and stay open.

    With `full` the new models are audited beside the old ones and beside oracles trained for that; the verdicts are
    recorded and gate nothing.

    Raises StoreBusyError while another command maintains the root or a reader keeps old pages alive, and
    NotFinishedError when an audit fails: the requests then stay open and shielded, and nothing is lost.
    """
    with store.maintaining():
        sweep(store)
        with store.reading() as unit:
            batch = requests.pending(unit)
            open_steps = {r.id: requests.steps_open(unit, r.id) for r in batch}
        waiting = {name: [r for r in batch if name in open_steps[r.id]] for name in requests.STEPS}
        if method not in reduce.METHODS:
            return _finish(store, batch, waiting, hand_over, way=Way(method, full), progress=progress)
        begun = [r for r in batch if r not in waiting["rebuild"]]  # by an exact erase that was killed: it goes on
        theirs = {name: [r for r in found if r in begun] for name, found in waiting.items()}
        done = _finish(store, begun, theirs, hand_over, way=Way(None), progress=progress)
        return _reduce(store, waiting["rebuild"], Way(method, full), hand_over, done=done, progress=progress)


def _finish(
    store: Store,
    batch: Sequence[ForgetRequest],
    waiting: Mapping[str, Sequence[ForgetRequest]],
    hand_over: HandOver,
    *,
    way: Way,
    progress: Progress,
) -> Erased:
    if not batch:
        return Erased((), 0, ())
    if waiting["rebuild"]:
        rebuild(store, waiting["rebuild"], way.method, progress, way.full)
    if waiting["audit"]:
        _audit(store, waiting["audit"], full=way.full)
    gone = _purge(store, waiting["purge"])
    with progress("purge and rewrite the database") as bar:
        limits = purge.scrub(store)
        bar(1, 1)
    documents = _certify(store, batch, limits, hand_over)
    return Erased(tuple(r.id for r in batch), gone, tuple(documents))


def _reduce(
    store: Store, batch: Sequence[ForgetRequest], way: Way, hand_over: HandOver, *, done: Erased, progress: Progress
) -> Erased:
    """Reduce these requests and hand out what holds of them, again where a killed run may have done so already."""
    if not batch:
        return done
    reduce.reduce(store, batch, str(way.method), progress, full=way.full)
    ids = {request.id for request in batch}
    with store.reading() as unit:
        now = [r for r in requests.every(unit) if r.id in ids and r.state is State.REDUCED]
        documents = [certificate.interim(unit, request) for request in now]
    kept = [certificate.without_subject(document) for document in documents]
    files.write_all({certificate.kept_path(store.root, document["request"]): document for document in kept})
    hand_over(documents)
    return replace(done, certificates=(*done.certificates, *kept), reduced=tuple(r.id for r in now))


def _audit(store: Store, batch: Sequence[ForgetRequest], *, full: bool) -> None:
    newest = max(request.epoch for request in batch)
    gates = [lineage.verdict(store, batch), *Shield(store).audit(batch), *residual_verdict(store, seed=newest)]
    of_models = [v for a in live(store) if a.kind == "backbone" for v in verdicts.told(a.settings)]
    if full and not of_models:
        of_models = [verdicts.unable("models", "what is live was made without --audit full, what came before is gone")]
    _note(store, batch, of_models)
    _record(store, batch, gates)
    with store.writing() as unit:
        payload = {verdict.audit: verdict.value for verdict in [*gates, *of_models]}
        requests.mark_step(unit, [r.id for r in batch], "audit", payload)
        unit.commit()


def _purge(store: Store, batch: Sequence[ForgetRequest]) -> int:
    """Draw up the certificates, which hold what the purge removes, then delete the rows in one transaction."""
    if not batch:
        return 0
    with store.reading() as unit:
        documents = [certificate.draw_up(unit, request) for request in batch]
    files.write_all({certificate.pending_path(store.root, document["request"]): document for document in documents})
    with store.writing() as unit:
        ids = [request.id for request in batch]
        gone = purge.purge(unit, ids)
        requests.mark_step(unit, ids, "purge", {"interactions": gone})
        unit.commit()
    return gone


def _certify(
    store: Store, batch: Sequence[ForgetRequest], limits: Sequence[str], hand_over: HandOver
) -> list[Document]:
    """Scan for residue, hand the certificates over, drop the root's knowledge of whom they are about, and close."""
    ids = [request.id for request in batch]
    held = [document for document in certificate.pending(store.root) if document["request"] in ids]
    if held:  # else a killed run has delivered them already
        _record(store, batch, [scan(store, held)])
    with store.writing() as unit:
        requests.mark_step(unit, ids, "scrub", {"limits": len(limits)})
        unit.commit()
        whole = [certificate.complete(unit, document, limits) for document in held]
    kept = [certificate.without_subject(document) for document in whole]
    files.write_all({certificate.kept_path(store.root, document["request"]): document for document in kept})
    hand_over(whole)
    files.destroy_all(certificate.pending_path(store.root, document["request"]) for document in whole)
    with store.writing() as unit:
        requests.close(unit, ids, at=datetime.now(UTC))
        unit.commit()
    return kept


def scan(store: Store, documents: Sequence[Document]) -> Verdict:
    """The residue audit for the people of these certificates; the certificates that wait for delivery are left out.

    A database that is a file is searched wherever it lies. Of somebody who asked to forget some rows the id rightly
    stays: then the salt alone is looked for.
    """
    with store.reading() as unit:
        known = catalogue.stored_users(unit)
        subjects = [(UserId(d["subject"]["user"]), str(d["subject"]["salt"])) for d in documents]
        gone = [(user, salt) for user, salt in subjects if user not in known]
        columns = people.named(unit, [user for user, _ in gone])
    histories = {d["subject"]["user"]: list(d.get(certificate.HISTORY, {}).values()) for d in documents}
    needles = [residue.needle(user, salt, histories[user]) for user, salt in gone]
    needles += [residue.secret(salt) for user, salt in subjects if user in known]
    skip = [certificate.pending_path(store.root, document["request"]) for document in documents]
    found = residue.verdict(store.root, needles, skip=skip, also=store.database_files())
    return replace(found, value=found.value + len(columns), detail="; ".join([*columns, found.detail]))


def _note(store: Store, batch: Sequence[ForgetRequest], found: Sequence[Verdict]) -> None:
    with store.writing() as unit:
        for request in batch:
            for verdict in found:
                requests.add_verdict(unit, request.id, verdict)
        unit.commit()


def _record(store: Store, batch: Sequence[ForgetRequest], found: Sequence[Verdict]) -> None:
    """The same of audits that gate: raises NotFinishedError for one that did not pass."""
    _note(store, batch, found)
    for verdict in found:
        if not verdict.passed:
            why = (
                "its positive control was not found" if verdict.void else f"{verdict.value:g} is over {verdict.limit:g}"
            )
            raise NotFinishedError(
                f"audit {verdict.audit} did not pass: {why} ({verdict.detail}); the requests stay open and hidden"
            )
