"""The erase's first half: every artefact that descends from hidden rows is made again without them, or destroyed."""

from collections.abc import Sequence
from functools import partial

from db import artifacts, concepts, files, jobs, requests
from db.artifacts import Artifact
from db.erasure import KINDS, Rule
from db.errors import LetheError, NotFinishedError
from db.records import ForgetRequest, Receipt, Scope, Verdict
from db.store import Store, Unit
from pipelines import engine, models, ways
from pipelines.concepts import tokens
from pipelines.config import Plan
from pipelines.generations import checked_folder, sweep
from pipelines.train import build
from pipelines.training import audits, shards
from pipelines.training.job import NothingToTrainError, Progress, RowsChangedError
from pipelines.training.read import read
from recsys.ease import Ease

STORED_LISTS = "recommendations/stored lists"
"""What a receipt calls the lists in the database that no batch under the root makes again."""

TRIES = 5
"""How often a set is begun anew because rows changed while it was made."""


def rebuild(
    store: Store, batch: Sequence[ForgetRequest], method: str | None, progress: Progress, full: bool = False
) -> None:
    """Make every live set again from the rows that stay; one rebuild serves all requests of the batch.

    A pure re-do: sets that are newer than the newest request already are left as they are. With `full` each new
    backbone is audited beside the old one, and keeps the verdicts.
    """
    newest = max(request.epoch for request in batch)
    old = [a for a in live(store) if a.kind == "backbone" and a.data_epoch < newest]
    ways.check(method, old)
    _cancel_jobs(store, newest)
    for backbone in old:
        _again(store, backbone, method, progress, full)
    tokens.again(store, progress)
    lost = rewrite(store, newest, progress)
    sweep(store)
    _destroy_rest(store, newest)
    with store.writing() as unit:
        requests.drop_evidence(unit, [r.id for r in batch])
        _receipts(unit, batch, lost, jobs.drop_lists_before(unit, newest))
        requests.mark_step(unit, [r.id for r in batch], "rebuild", {"sets": len(old)})
        unit.commit()


def _again(store: Store, backbone: Artifact, method: str | None, progress: Progress, full: bool) -> None:
    """One set anew. A request that arrives between downdate and build is taken in by downdating once more."""
    settings = settings_of(store, backbone)
    plan = Plan(**settings.settings["plan"])
    audit = partial(audits.audited, store, backbone, progress) if full else None
    for _ in range(TRIES):
        try:
            ready = ways.ready(store, backbone, settings, method, progress=progress)
            build(store, plan, progress=progress, ready=ready, audit=audit)
        except RowsChangedError:
            continue
        except NothingToTrainError:  # the last people left: a model of nobody is no model
            _destroy_set(store, backbone.name)
        return
    raise NotFinishedError("rows keep changing while the backbone is made; run `lethe erase` again")


def _destroy_set(store: Store, name: str) -> None:
    with store.writing() as unit:
        gone = [a for a in artifacts.all_on_disk(unit) if a.name == name and a.scope is not Scope.NONE]
        gone += shards.live(unit, name).values()
        artifacts.destroy_all(unit, [a for a in gone if KINDS[a.kind].rule is Rule.REBUILT])
        unit.commit()


def residual_verdict(store: Store, *, seed: int) -> list[Verdict]:
    """For a live EASE: whether P is the inverse over exactly the visible rows. A person left out must show."""
    with store.reading() as unit:
        found = artifacts.live(unit, "backbone", "ease")
    if found is None:
        return []
    model = Ease.load(checked_folder(store.root, found))
    log = read(store).log
    somebody = log.user[seed % len(log)]
    control = model.residual(log.take(log.user != somebody), seed=seed, columns=len(model.items))
    value = model.residual(log, seed=seed, columns=16)
    limit = 1e-8
    detail = "max |(XᵀX + λI)p − e| over 16 columns of P; control: the same with one more person missing"
    return [Verdict("ease-residual", value, limit, control=control, control_found=control > limit, detail=detail)]


def live(store: Store) -> list[Artifact]:
    """What readers use now, of every kind."""
    with store.reading() as unit:
        return [a for a in artifacts.all_on_disk(unit) if a.state == artifacts.LIVE]


def settings_of(store: Store, backbone: Artifact) -> Artifact:
    """What holds a live backbone's set together. Raises LetheError where there is nothing."""
    with store.reading() as unit:
        settings = artifacts.live(unit, "settings", backbone.name)
    if settings is None:
        raise LetheError(f"backbone {backbone.name} has no settings; run `lethe train --backbone {backbone.name}`")
    return settings


def _cancel_jobs(store: Store, newest: int) -> None:
    """End batches that descend from rows before the requests: their parts may hold the people's lists."""
    with store.writing() as unit:
        old = [job for job in jobs.unfinished(unit) if jobs.origin_epoch(unit, job) < newest]
        for path in jobs.unregistered_outputs(unit):
            files.destroy(path)
        for job in old:
            jobs.set_state(unit, job.id, jobs.CANCELLED)
        unit.commit()
    for job in old:
        files.destroy(store.root / "jobs" / job.id)


def rewrite(store: Store, newest: int, progress: Progress, *, stale_only: bool = False) -> list[Artifact]:
    """Run the batches behind files older than `newest` again, on the new set, to the same places; one that was killed
    goes on. With `stale_only` files that readers may see, and that the live set made, are left as they are.

    Returns those that cannot be run again because the set was trained otherwise since: an erase destroys them.
    """
    with store.reading() as unit:
        begun = {job.out: job.id for job in jobs.unfinished(unit)}
        found = [a for a in artifacts.descending(unit, newest) if a.kind == "recommendations" and "job" in a.settings]
        current = {a.id for a in artifacts.all_on_disk(unit) if a.state == artifacts.LIVE}
        stale = [
            a for a in found if a.state == artifacts.REFUSED or not current.issuperset(artifacts.parents(unit, a.id))
        ]
    lost = []
    for path, artifact in {a.path: a for a in (stale if stale_only else found)}.items():
        plan, weight = engine.plan_of(artifact.settings)
        (store.root / path).parent.mkdir(parents=True, exist_ok=True)
        try:
            out = (store.root / path).resolve()
            again = begun.get(str(out))
            job, served = engine.resume(store, again) if again else engine.start(store, plan, out, weight=weight)
        except NotFinishedError:
            raise
        except LetheError:
            lost.append(artifact)
            continue
        with progress(f"recommend again: {path}") as bar:
            engine.run(store, job, served, progress=bar)
    return lost


def _destroy_rest(store: Store, newest: int) -> None:
    """What nothing rebuilds (reject files, old evaluations) is destroyed."""
    with store.writing() as unit:
        artifacts.destroy_all(unit, artifacts.descending(unit, newest))
        unit.commit()


_OF_NO_ROWS = (Scope.NONE, Scope.USER)
"""What no row entered, and what one person asked for, trained on item texts: nothing of it is rebuilt."""

ASKED_FOR = "the person asked for it; trained on item texts alone"


def _receipts(unit: Unit, batch: Sequence[ForgetRequest], lost: Sequence[Artifact], dropped: int) -> None:
    made = [a for a in artifacts.all_on_disk(unit) if a.state == artifacts.LIVE and a.scope not in _OF_NO_ROWS]
    unfit = "its batch does not fit what is trained now"
    dropped_why = f"{dropped} rows made before the request; `lethe recommend --all` makes them again"
    for request in batch:
        done = partial(Receipt, request.id, exact=True, seconds=0.0)
        requests.add_receipt(unit, done("db", "hide", "interactions"))
        for artifact in made:
            requests.add_receipt(unit, _receipt(request, artifact))
        for artifact in lost:
            requests.add_receipt(unit, done("pipelines", "destroy", f"{artifact.kind}/{artifact.name}", detail=unfit))
        for adapter in concepts.adapters_of(unit, request.id):
            requests.add_receipt(unit, done("llm", "destroy", f"adapter/{adapter.name}", detail=ASKED_FOR))
        if dropped:  # their batch was an export, or is lost: nothing has made them again
            requests.add_receipt(unit, done("pipelines", "delete", STORED_LISTS, detail=dropped_why))


def _receipt(request: ForgetRequest, artifact: Artifact) -> Receipt:
    action = _action(request, artifact)
    seconds = float(artifact.settings.get("seconds", 0.0))
    name = f"{artifact.kind}/{artifact.name} generation {artifact.generation}"
    detail = f"from data epoch {artifact.data_epoch}, sha256 {artifact.sha256[:16]}"
    detail += "".join(f"; {told}" for told in _told(action, artifact))
    return Receipt(request.id, layer(artifact.kind), action, name, exact=True, seconds=seconds, detail=detail)


def _action(request: ForgetRequest, artifact: Artifact) -> str:
    if artifact.data_epoch < request.epoch:  # a shard in which the rule puts none of the rows
        return "keep"
    rewritten = KINDS[artifact.kind].rule is Rule.REWRITTEN
    return str(artifact.settings.get("method", "rewrite" if rewritten else "rebuild"))


def _told(action: str, artifact: Artifact) -> list[str]:
    """What more there is to say of how an artefact came about, above all what was chosen with the rows and stays."""
    facts = artifact.settings
    how = facts.get(models.SHARDING) if artifact.kind == "backbone" else None
    if action == "downdate":
        return [f"frozen: λ = {facts.get('regularisation')}, chosen before this request"]
    if action == "keep":
        return ["bit for bit: by its rule none of the rows lay in it"]
    if how and action == "sisa":
        epochs = f"frozen: {facts['epochs']} epochs, chosen before this request"
        return [f"shards trained again: {_numbers(facts['touched'])}", f"kept: {_numbers(facts['kept'])}", epochs]
    return [f"partition, {how['shards']} shards and aggregator of {how['method']} made again"] if how else []


def _numbers(shards: Sequence[int]) -> str:
    return ", ".join(map(str, shards)) or "none"


def layer(kind: str) -> str:
    """The package that an artefact of this kind belongs to, as receipts name it."""
    if kind in ("backbone", "shard", "tokens", "popularity"):
        return "recsys"
    return "pipelines" if kind == "recommendations" else "retrieval"
