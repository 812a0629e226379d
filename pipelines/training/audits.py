"""The audits of a model that `--audit full` asks for: oracles, membership, and what two generations give away.

They are drawn up before the switch to the generation, while the one before and the rows are still there, and live in
its settings, so that a kill loses none. They gate nothing; lineage and residue do.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from db.artifacts import Artifact
from db.errors import LetheError
from db.log import InteractionLog
from db.records import Verdict
from db.store import Store
from pipelines import models
from pipelines.generations import checked_folder, fresh_seed
from pipelines.train import Ready
from pipelines.training.around import Around, around, requests_since
from pipelines.training.distance import Compared, distances, oracles, score_distance
from pipelines.training.job import Progress, RowsChangedError
from pipelines.training.verdicts import unable
from recsys.candidates import Backbone
from unlearning.audit import membership, versions
from unlearning.audit.canaries import Canaries, plant
from unlearning.audit.versions import Generations, Lineup
from unlearning.data.base import BackboneUnlearner
from unlearning.data.retrain import Retrain

AUDITED, CONTROL, SHADOWS = 100, 101, 102
"""What a generation's seed is derived for."""

CANARIES, ITEMS, FEW_ITEMS, UNPOPULAR = 20, 8, 2, 0.25
"""Groups of planted people at most, the items of each (fewer in a small catalogue), and the share these come from."""

OTHERS = 5
"""People who stayed for each one who was forgotten, in the line-up."""


def audited(store: Store, backbone: Artifact, progress: Progress, made: Ready) -> list[Verdict]:
    """All audits of a model that is to replace a live backbone; where rows came since that was made: void ones.

    Raises RowsChangedError where a request came since the model was made.
    """
    with store.reading() as unit:
        whole = requests_since(unit, backbone.data_epoch) is not None
    old = models.load(backbone.name, checked_folder(store.root, backbone))
    if backbone.name == models.GENERATIVE:
        return [unable(f"models {backbone.name}", "its audits take a hundred trainings of a generative recommender")]
    if not whole or old.items != made.model.items:
        return [unable(f"models {backbone.name}", "rows came since the generation before was made")]
    rows = around(store, backbone.data_epoch, old.items)
    if rows.epoch != made.epoch:
        raise RowsChangedError("rows changed while the backbone was audited; run the same command again")
    seed = fresh_seed(backbone.seed or 0, AUDITED)
    compared = Compared(backbone.name, old, made.model, made.method, made.frozen)
    if not backbone.settings.get("exact", True):  # it was reduced: what forgot nothing is gone
        compared = replace(compared, control=_refit(compared, rows.before, fresh_seed(seed, CONTROL)))
    return exact(compared, rows, seed=seed, progress=progress)


def exact(compared: Compared, rows: Around, *, seed: int, progress: Progress) -> list[Verdict]:
    """Distance to the oracle, membership and version difference of a generation that an exact method made."""
    trained = oracles(compared, rows, seed=seed, progress=progress)
    if compared.name == "ease":
        near = score_distance(compared, rows, seed=seed)
    else:
        near = distances(compared, rows, trained, seed=seed)
    return [*near, *_beside(compared, rows, trained, seed=seed, progress=progress)]


def approximate(compared: Compared, rows: Around, *, full: bool, seed: int, progress: Progress) -> list[Verdict]:
    """The distance to the oracle of a generation that an influence method made; with `full` the others too."""
    if not len(np.setdiff1d(rows.after.user, rows.forgotten)):
        return []
    trained = oracles(compared, rows, seed=seed, progress=progress)
    near = distances(compared, rows, trained, seed=seed)
    return near + (_beside(compared, rows, trained, seed=seed, progress=progress) if full else [])


def _beside(
    compared: Compared, rows: Around, trained: Sequence[Backbone], *, seed: int, progress: Progress
) -> list[Verdict]:
    return [
        *_memberships(compared, rows, seed=seed, progress=progress),
        _version_difference(compared, rows, trained, seed=seed, progress=progress),
    ]


def _memberships(compared: Compared, rows: Around, *, seed: int, progress: Progress) -> list[Verdict]:
    """Of the method, on planted people: shadows trained with half of them in forget them; oracles never saw them."""
    try:
        canaries = _planted(rows.after, seed)
    except LetheError as error:
        return [unable(f"membership {compared.name}", str(error))]
    trial = membership.trial(canaries, seed=fresh_seed(seed, SHADOWS))
    unlearner = _unlearner(compared)

    def _fit(log: InteractionLog, own: int) -> Backbone:
        made: Backbone = unlearner.fit(log, seed=own)
        return made

    def _forget(model: Backbone, before: InteractionLog, after: InteractionLog, own: int) -> Backbone:
        made: Backbone = unlearner.forget(model, before, after, seed=own).model
        return made

    runs = []
    with progress(f"membership: shadows of {compared.name}") as bar:
        for shadow in range(len(trial.present)):
            runs.append(trial.run(shadow, _fit, _forget))
            bar(shadow + 1, len(trial.present))
    found = membership.combine(trial, np.stack(runs), seed=seed).verdicts()
    return [replace(one, audit=f"{one.audit} {compared.name}", detail=f"planted people: {one.detail}") for one in found]


def _planted(log: InteractionLog, seed: int) -> Canaries:
    pool = int(UNPOPULAR * len(log.items))
    items = ITEMS if pool >= 2 * ITEMS else FEW_ITEMS
    return plant(log, max(2, min(CANARIES, pool // items)), seed=seed, items=items, unpopular=UNPOPULAR)


def _unlearner(compared: Compared) -> BackboneUnlearner[Any]:
    """The method that made the generation."""
    if compared.method == "downdate":
        from unlearning.data.downdate import Downdated

        return Downdated(lambda log: _refit(compared, log, 0))
    if compared.method in ("scif", "ifru"):
        return models.influence(compared.method, compared.frozen)
    if compared.method == "sisa":
        return models.sharded(compared.name, compared.frozen)
    return Retrain(lambda log, own: _refit(compared, log, own))


def _refit(compared: Compared, log: InteractionLog, seed: int) -> Any:
    return models.refit(compared.name, log.inhabited(), compared.frozen, seed=seed, progress=lambda done, total: None)


def _version_difference(
    compared: Compared, rows: Around, trained: Sequence[Backbone], *, seed: int, progress: Progress
) -> Verdict:
    """The old generation beside the new one; the control is a pair of trainings with one seed."""
    name, own = f"versions {compared.name}", fresh_seed(seed, CONTROL)
    try:
        lineup = _lineup(rows, seed)
    except LetheError as error:
        return unable(name, str(error))
    pair = []
    for log in (rows.before, rows.after):
        with progress("train two generations with one seed") as bar:
            pair.append(models.refit(compared.name, log, compared.frozen, seed=own, progress=bar))
    generations = Generations((compared.old, compared.new), trained, (pair[0], pair[1]))
    return replace(versions.verdict(lineup, generations, seed=seed), audit=name)


def _lineup(rows: Around, seed: int) -> Lineup:
    """Whoever was wholly forgotten, among people by lot who lost nothing; people with fewer than two items left out."""
    histories = rows.before.histories()
    able = np.array([len(np.unique(history)) >= 2 for history in histories], dtype=np.bool_)
    gone = np.setdiff1d(rows.forgotten, rows.after.user)
    gone = gone[able[gone]]
    stayed = np.setdiff1d(np.flatnonzero(able), rows.forgotten)
    drawn = np.random.default_rng(seed).permutation(stayed)[: OTHERS * len(gone)]
    people = np.concatenate([gone, drawn])
    return Lineup([histories[row] for row in people.tolist()], np.arange(len(people)) < len(gone))
