"""Reduce: an approximate method takes hidden rows out of the live generations. The requests stay open.

What is made still descends from the rows and says so: it keeps the data epoch that it comes from, and `reduced_to`
names the epoch whose rows it was brought near to (docs/decisions/0011-reduced-generations.md).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from db import artifacts, files, jobs, requests
from db.artifacts import Artifact, Origin
from db.errors import LetheError, NotFinishedError
from db.records import ForgetRequest, Receipt, Scope, Verdict
from db.store import Store, Unit
from pipelines import models, ways
from pipelines.config import Plan
from pipelines.generations import Draft, checked_folder, draft, fresh_seed, sweep, switch
from pipelines.rebuild import STORED_LISTS, TRIES, layer, live, rewrite, settings_of
from pipelines.train import serving_attention
from pipelines.training import audits, verdicts
from pipelines.training.around import Around, around
from pipelines.training.distance import Compared
from pipelines.training.job import Progress, RowsChangedError, Training
from pipelines.training.read import read
from pipelines.training.register import SETTINGS
from recsys.popularity import PopularityFitter
from recsys.vectors import ItemVectors
from retrieval.text import TextIndex
from unlearning.data.base import Forgotten
from unlearning.data.shield import Shield

METHODS = ("scif", "ifru")
BACKBONES = ("bpr", "lightgcn")

REDUCED_TO = "reduced_to"
"""In the settings of a reduced backbone: the data epoch whose visible rows it was brought near to."""


@dataclass(frozen=True, slots=True)
class Set:
    """The live set of one backbone: what holds it together, and its parts by kind."""

    backbone: Artifact
    settings: Artifact
    parts: dict[str, Artifact]


@dataclass(frozen=True, slots=True)
class Step:
    """By which method, and how thoroughly it is audited."""

    method: str
    full: bool


def reduce(
    store: Store, batch: Sequence[ForgetRequest], method: str, progress: Progress, *, full: bool = False
) -> None:
    """Bring every live set near to the rows that stay, and say `reduced`. The caller maintains the root.

    Each is audited by its distance to oracles; with `full` also by membership and by the difference of versions.

    A pure re-do: sets that are as near already are left as they are. Raises LetheError, with nothing changed, where a
    live backbone is of another kind, or where none descends from the rows.
    """
    newest = max(request.epoch for request in batch)
    descending = [a for a in live(store) if a.kind == "backbone" and a.data_epoch < newest]
    _check(descending, method)
    for backbone in descending:
        if rows_epoch(backbone) < newest:
            _again(store, backbone, Step(method, full), progress)
    sweep(store)
    rewrite(store, newest, progress, stale_only=True)
    sweep(store)
    _say(store, [request for request in batch if not request.reduced], method)


def rows_epoch(backbone: Artifact) -> int:
    """The data epoch whose visible rows a backbone was made of, or brought near to."""
    return int(backbone.settings.get(REDUCED_TO, backbone.data_epoch))


def _check(descending: Sequence[Artifact], method: str) -> None:
    if not descending:
        raise LetheError(f"no live backbone descends from the rows: there is nothing for {method}; run `lethe erase`")
    for backbone in descending:
        if backbone.name not in BACKBONES or models.SHARDING in backbone.settings:
            known, use = " and ".join(BACKBONES), " or ".join(ways.fitting(backbone))
            told = f"--method {method} is for {known}, not for {ways.described(backbone)}"
            raise LetheError(f"{told}; use --method {use}")


def _again(store: Store, backbone: Artifact, step: Step, progress: Progress) -> None:
    for _ in range(TRIES):
        try:
            return _reduce_set(store, backbone, step, progress)
        except RowsChangedError:
            continue
    raise NotFinishedError("rows keep changing while the backbone is reduced; run the same command again")


def _reduce_set(store: Store, backbone: Artifact, step: Step, progress: Progress) -> None:
    """Made, audited and drafted beside the live set, then switched to in one transaction."""
    old = _set_of(store, backbone)
    model = ItemVectors.load(checked_folder(store.root, backbone))
    rows = around(store, rows_epoch(backbone), model.items)
    data = read(store)
    if data.epoch != rows.epoch:
        raise RowsChangedError("rows changed while they were read; run the same command again")
    plan, frozen = Plan(**old.settings.settings["plan"]), old.settings.settings["backbone"]
    seed = fresh_seed(plan.seed, backbone.generation + 1)
    started = time.perf_counter()
    with progress(f"{step.method} on {backbone.name}") as bar:
        made = models.influence(step.method, frozen).forget(model, rows.before, rows.after, seed=seed, progress=bar)
    seconds = round(time.perf_counter() - started, 4)
    compared = Compared(backbone.name, model, made.model, step.method, frozen)
    found = audits.approximate(compared, rows, full=step.full, seed=seed, progress=progress)
    job = Training(store, plan, data, TextIndex.load(checked_folder(store.root, old.parts["text-index"])), progress)
    facts = {"method": step.method, "seconds": seconds, **_told(made, rows, found)}
    drafts = [
        draft(
            store,
            "backbone",
            backbone.name,
            made.model.save,
            Origin(backbone.data_epoch, Scope.ALL, seed=seed, settings=facts, parents=(backbone.id,)),
        ),
        job.draft("popularity", PopularityFitter().fit(data.log).save),
        *serving_attention(job, seed),
    ]
    _switch(store, old, drafts)


def _set_of(store: Store, backbone: Artifact) -> Set:
    settings = settings_of(store, backbone)
    with store.reading() as unit:
        parts = [artifacts.get(unit, key) for key in artifacts.parents(unit, settings.id)]
    return Set(backbone, settings, {part.kind: part for part in parts})


def _told(made: Forgotten[ItemVectors], rows: Around, found: Sequence[Verdict]) -> dict[str, Any]:
    """What the generation says of itself: the epoch it was brought to, the solver's figures, the audits."""
    own = {REDUCED_TO: rows.epoch, "exact": False, "facts": dict(made.facts)}
    return {**models.told(made.model), **own, verdicts.AUDITS: verdicts.kept(found)}


def _switch(store: Store, old: Set, drafts: Sequence[Draft]) -> None:
    """The new parts and the settings that hold them together, with those parts of the old set that stay as they were.

    The settings were chosen on rows that are hidden now and keep their epoch.
    """
    values, name = dict(old.settings.settings), old.backbone.name
    replaced = {part.kind for part in drafts}
    kept = tuple(part.id for kind, part in old.parts.items() if kind not in replaced)
    origin = partial(Origin, old.settings.data_epoch, Scope.ALL, seed=old.settings.seed, settings=values)
    last = draft(store, "settings", name, lambda folder: files.write_json(folder / SETTINGS, values), origin())
    with store.writing() as unit:
        parts = switch(unit, drafts)
        parents = (*(part.id for part in parts), *kept)
        switch(unit, [Draft(last.kind, name, last.generation, last.path, last.sha256, origin(parents=parents))])
        unit.commit()


def _say(store: Store, batch: Sequence[ForgetRequest], method: str) -> None:
    """Receipts, audits and the state of these requests in one transaction."""
    if not batch:
        return
    shield = Shield(store)
    hidden, found = shield.forget(batch), shield.audit(batch)
    for verdict in found:
        if not verdict.passed:
            raise NotFinishedError(f"audit {verdict.audit} did not pass ({verdict.detail}); the requests stay open")
    made = [a for a in live(store) if a.scope not in (Scope.NONE, Scope.USER)]
    found += [verdict for artifact in made for verdict in verdicts.told(artifact.settings)]
    with store.writing() as unit:
        ids = [request.id for request in batch]
        requests.drop_evidence(unit, ids)
        dropped = jobs.drop_stale_lists(unit)
        for receipt in [*hidden, *(_receipt(r, a) for r in batch for a in made), *_deleted(batch, dropped)]:
            requests.add_receipt(unit, receipt)
        _add_verdicts(unit, batch, found)
        requests.reduce(unit, ids, _payload(method, found), at=datetime.now(UTC))
        unit.commit()


def _add_verdicts(unit: Unit, batch: Sequence[ForgetRequest], found: Sequence[Verdict]) -> None:
    for request in batch:
        for verdict in found:
            requests.add_verdict(unit, request.id, verdict)


def _payload(method: str, found: Sequence[Verdict]) -> dict[str, Any]:
    return {"method": method, "audits": {verdict.audit: verdict.value for verdict in found}}


def _deleted(batch: Sequence[ForgetRequest], dropped: int) -> list[Receipt]:
    why = f"{dropped} rows of an older generation; `lethe recommend --all` makes them again"
    return [Receipt(r.id, "pipelines", "delete", STORED_LISTS, True, 0.0, why) for r in batch if dropped]


def _receipt(request: ForgetRequest, artifact: Artifact) -> Receipt:
    """Exact where nothing of the rows is in it; an approximate backbone gives its figures."""
    facts, exact = artifact.settings.get("facts", {}), artifact.data_epoch >= request.epoch
    if artifact.kind == "backbone" and not exact:
        action, told = str(artifact.settings["method"]), ", ".join(f"{key} {_short(v)}" for key, v in facts.items())
    elif artifact.kind == "recommendations":
        action, told = "rewrite", "by the reduced backbone"
    else:
        action, told = ("rebuild", "") if exact else ("keep", "chosen before the request; an erase makes it again")
    name = f"{artifact.kind}/{artifact.name} generation {artifact.generation}"
    detail = "; ".join(filter(None, [f"descends from data epoch {artifact.data_epoch}", told]))
    seconds = float(artifact.settings.get("seconds", 0.0))
    return Receipt(request.id, layer(artifact.kind), action, name, exact=exact, seconds=seconds, detail=detail)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
