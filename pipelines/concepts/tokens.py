"""The generative recommender's half of a request: other ids for a concept's items, in one step with the decoder.

What is registered is a whole recommender beside the backbone, which is never written: without it the backbone speaks
its old ids, bit for bit. A second concept stands on the first, so that ids go back in the order they came.
"""

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from db import artifacts, concepts
from db.artifacts import Artifact, Origin
from db.errors import LetheError, NotFinishedError
from db.records import ConceptRequest, Scope, Verdict
from db.store import Store
from pipelines import models
from pipelines.generations import checked_folder, draft, fresh_seed, sweep, switch
from pipelines.training.job import Progress
from pipelines.training.read import read
from recsys.candidates import Backbone
from retrieval.text import TextIndex

if TYPE_CHECKING:
    from recsys.semantic_ids.backbone import SemanticIds
    from unlearning.tokens.case import Case


@dataclass(frozen=True, slots=True)
class Moved:
    """How it ended: the request as it stands, the gates and what failed (nothing: it is registered)."""

    request: ConceptRequest
    gates: tuple[Verdict, ...] = ()
    failing: tuple[str, ...] = ()
    seconds: float = 0.0
    items: int = 0
    """Of the concept, those that have another id."""
    version: str = ""
    """Of the ids that are served now."""


def check(root: Path, request_user: str | None, method: str | None) -> str:
    """The method to use, the root's own where none is given.

    Raises LetheError for a method that leaves nothing to register, for one person's request, and for a table `[tokens]`
    of lethe.toml that does not fit.
    """
    from pipelines.concepts.token_plan import load_token_plan

    if request_user is not None:
        raise LetheError("ids are everybody's: leave --user out with --layer tokens, or give --layer retrieval")
    return load_token_plan(root, method=method).method


def load(store: Store, backbone: Artifact, folder: Path) -> Backbone:
    """The backbone as it is served: with the ids that concepts were moved to last, where some were.

    Raises LetheError where they were moved on another generation than this.
    """
    if backbone.name != models.GENERATIVE:
        return models.load(backbone.name, folder)
    with store.reading() as unit:
        standing = concepts.retokened(unit)
        top = artifacts.get(unit, standing[-1].adapter or 0) if standing else None
    if top is None:
        return models.load(backbone.name, folder)
    if top.settings["base"] != backbone.sha256:
        names = ", ".join(repr(request.name) for request in standing)
        raise LetheError(
            f"the ids of {names} are stale: {backbone.name} was made since; train it, or forget them again"
        )
    return models.load(backbone.name, checked_folder(store.root, top))


def retoken(store: Store, request: ConceptRequest, method: str, *, progress: Progress) -> Moved:
    """Learn other ids for a request's items and register them if they pass the gates; else it stays accepted.

    Raises StoreBusyError while another command maintains the root, and LetheError where no generative recommender is
    trained.
    """
    with store.maintaining():
        done = _again(store, request, method, progress)
        sweep(store)
    return done


def again(store: Store, progress: Progress) -> None:
    """After the backbone was made anew: every concept that had moved moves again, in the same order and by its method.

    One that fails its gates, cannot be learned any more (nobody left has met its items, say), or has no backbone
    is open again, and says why: it holds up no erase. The caller maintains the root.
    """
    with store.reading() as unit:
        waiting = concepts.retokened(unit)
        backbone = artifacts.live(unit, "backbone", models.GENERATIVE)
        stale = [
            r for r in waiting if backbone is None or _base(artifacts.get(unit, r.adapter or 0)) != backbone.sha256
        ]
        methods = [str(artifacts.get(unit, r.adapter or 0).settings["forgets_by"]) for r in stale]
    if not stale:
        return
    with store.writing() as unit:
        artifacts.retire(unit, [artifacts.get(unit, request.adapter or 0) for request in stale])
        for request in stale:
            concepts.reopen(unit, request, "the backbone was made anew")
        unit.commit()
    for request, method in zip(stale, methods, strict=True) if backbone is not None else ():
        try:
            _again(store, request, method, progress)
        except NotFinishedError:
            raise
        except LetheError as error:
            _failed(store, request, str(error))


def _again(store: Store, request: ConceptRequest, method: str, progress: Progress) -> Moved:
    from pipelines.concepts.token_plan import load_token_plan
    from unlearning.tokens.gates import judged
    from unlearning.tokens.methods import make

    plan = load_token_plan(store.root, method=method)
    backbone, below = _beneath(store)
    if request.adapter is not None and not request.open and _in_place(store, request, backbone):
        return Moved(request)
    case = _case(store, request, backbone, below)
    seed = fresh_seed(backbone.seed or 0, (below or backbone).id)
    with store.reading() as unit:
        tried = concepts.refusals(unit, request.id)
    seed = fresh_seed(seed, tried) if tried else seed
    started = time.perf_counter()
    with progress(f"move the ids of {request.name}") as bar:
        made = make(method, plan.settings).forget(case, seed=seed, progress=bar)
    gates = judged(case, made.model, plan.gates, seed=seed)
    failing = tuple(f"{v.audit} {v.value:.4f} of {v.limit:.4f}" for v in gates if not v.passed)
    seconds = time.perf_counter() - started
    if failing:
        return Moved(_failed(store, request, "; ".join(failing)), gates, failing, seconds)
    changed = (made.model.table.codes[case.concept] != case.model.table.codes[case.concept]).any(axis=1)
    facts = {
        "base": backbone.sha256,
        "forgets_by": method,
        "settings": asdict(plan.settings),
        "ids": made.model.table.version,
        "seconds": round(seconds, 1),
    }
    parents = (backbone.id,) if below is None else (backbone.id, below.id)
    origin = Origin(backbone.data_epoch, Scope.ALL, seed=seed, settings=facts, parents=parents)
    done = _register(store, request, made.model, origin, detail="; ".join(f"{v.audit} {v.value:.4f}" for v in gates))
    return Moved(done, gates, seconds=seconds, items=int(changed.sum()), version=made.model.table.version)


def _failed(store: Store, request: ConceptRequest, detail: str) -> ConceptRequest:
    with store.writing() as unit:
        concepts.fail(unit, request.id, detail)
        left = concepts.get(unit, request.id)
        unit.commit()
    return left


def _register(
    store: Store, request: ConceptRequest, model: "SemanticIds", origin: Origin, *, detail: str
) -> ConceptRequest:
    made = draft(store, concepts.TOKENS, request.id, model.save, origin)
    with store.writing() as unit:
        (registered,) = switch(unit, [made])
        concepts.settle(unit, request.id, registered.id, detail, at=datetime.now(UTC))
        done = concepts.get(unit, request.id)
        unit.commit()
    return done


def _beneath(store: Store) -> tuple[Artifact, Artifact | None]:
    """The live backbone, and the ids that were moved on it last."""
    with store.reading() as unit:
        backbone = artifacts.live(unit, "backbone", models.GENERATIVE)
        if backbone is None:
            raise LetheError("no generative recommender is trained; run `lethe train --backbone semantic-ids`")
        standing = [artifacts.get(unit, request.adapter or 0) for request in concepts.retokened(unit)]
    fresh = [artifact for artifact in standing if _base(artifact) == backbone.sha256]
    return backbone, fresh[-1] if fresh else None


def _in_place(store: Store, request: ConceptRequest, backbone: Artifact) -> bool:
    with store.reading() as unit:
        artifact = artifacts.get(unit, request.adapter or 0)
    return _base(artifact) == backbone.sha256 and (store.root / artifact.path).exists()


def _case(store: Store, request: ConceptRequest, backbone: Artifact, below: Artifact | None) -> "Case":
    from recsys.semantic_ids.backbone import SemanticIds
    from unlearning.tokens.case import Case

    model = SemanticIds.load(checked_folder(store.root, below or backbone))
    data = read(store)
    if data.log.items != model.items:
        raise LetheError(
            "the catalogue changed since the recommender was trained; run `lethe train --backbone semantic-ids`"
        )
    with store.reading() as unit:
        index = artifacts.live(unit, "text-index", "minilm")
    if index is None:
        raise LetheError("the text index is gone; run `lethe train --backbone semantic-ids`")
    vectors = TextIndex.load(checked_folder(store.root, index)).vectors(np.arange(len(model.items)))
    place = {item: row for row, item in enumerate(model.items)}
    concept = np.array(sorted(place[item] for item in request.items if item in place), dtype=np.int64)
    return Case(model, concept, data.log, vectors)


def _base(artifact: Artifact) -> str:
    return str(artifact.settings.get("base", ""))
