"""The model's half of a request: an adapter is trained, held to its gates, and registered in one step."""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from db import artifacts, catalogue, concepts
from db.artifacts import Origin
from db.errors import NotFinishedError
from db.records import ConceptRequest, Item, Scope, Verdict
from db.store import Store
from llm.adapter_file import read_adapter, read_card
from llm.adapters import attach
from llm.model import LanguageModel, load
from pipelines.concepts.fit import Bars, Fitted, fit
from pipelines.concepts.near import text_vectors
from pipelines.concepts.plan import ConceptPlan
from pipelines.concepts.serve import read_forgotten, whole
from pipelines.config import Plan, checked_plan, load_plan
from pipelines.generations import Draft, draft, fresh_seed, sweep, switch
from unlearning.concept.base import Concept, Kind


@dataclass(frozen=True, slots=True)
class Unlearned:
    """How a training ended: the request as it stands now, the gates, and what failed (nothing: it is registered)."""

    request: ConceptRequest
    gates: tuple[Verdict, ...] = ()
    failing: tuple[str, ...] = ()
    seconds: float = 0.0
    bytes: int = 0
    """Of the adapter's folder on disk."""
    attempt: int = 1
    """Which training for this request it was; a second one has another seed, and luck in it."""


def unlearn(store: Store, request: ConceptRequest, plan: Plan, how: ConceptPlan, *, bars: Bars) -> Unlearned:
    """Train an adapter for the plan's model and register it if it passes its gates; else the request stays open.

    A request whose adapter for this model is in place is left as it is, so that a killed run can be repeated. Raises
    StoreBusyError while another command maintains the root.
    """
    with store.maintaining():
        model = load(plan.model, device=plan.device)
        with store.reading() as unit:
            items = catalogue.load_items(unit)
            tried = concepts.refusals(unit, request.id)
            others = read_forgotten(unit, () if request.user is None else (request.user,))
        if _in_place(store, request, model):
            return Unlearned(request)
        started = time.perf_counter()
        near = text_vectors(store, items)
        seed = fresh_seed(plan.seed, tried) if tried else plan.seed
        beside = others.acting(store.root, model, but=request.id)
        fitted = fit(model, _concept(request, items), items, how, seed=seed, bars=bars, vectors=near, beside=beside)
        seconds = time.perf_counter() - started
        if not fitted.judged.passed:
            return replace(_failed(store, request, fitted, seconds), attempt=tried + 1)
        made = _draft(store, request, fitted, how, seconds)
        _check(model, store.root / made.path)
        done = _register(store, request, made, fitted)
        sweep(store)
    size = sum(file.stat().st_size for file in (store.root / made.path).iterdir())
    return Unlearned(done, fitted.judged.verdicts, seconds=seconds, bytes=size, attempt=tried + 1)


def finished(outcome: Unlearned) -> Unlearned:
    """The outcome of a training that passed. Raises NotFinishedError naming the gates that failed."""
    if outcome.failing:
        request = outcome.request
        stays = "its items stay hidden" if request.hides else "it stays accepted"
        told = f"the adapter for {request.name!r} was not registered: {'; '.join(outcome.failing)}"
        raise NotFinishedError(f"{told}; {stays}, and the same command tries another seed")
    return outcome


def _concept(request: ConceptRequest, catalogue: list[Item]) -> Concept:
    known = {item.id: item for item in catalogue}
    return Concept(request.name, Kind(request.kind), tuple(known[item] for item in request.items))


def _in_place(store: Store, request: ConceptRequest, model: LanguageModel) -> bool:
    if request.open or request.adapter is None:
        return False
    with store.reading() as unit:
        artifact = artifacts.get(unit, request.adapter)
    return whole(store.root, artifact) and read_card(store.root / artifact.path).base == model.fingerprint


def _draft(store: Store, request: ConceptRequest, fitted: Fitted, how: ConceptPlan, seconds: float) -> Draft:
    """The PEFT folder, whole on disk. What is registered of it names neither the concept nor a person."""
    with store.reading() as unit:
        epoch = catalogue.epoch(unit)
    scope = Scope.NONE if request.user is None else Scope.USER
    facts = {"base": fitted.adapter.card.base, "method": how.method, "seconds": round(seconds, 1)}
    return draft(store, concepts.ADAPTER, request.id, fitted.adapter.save, Origin(epoch, scope, settings=facts))


def _check(model: LanguageModel, folder: Path) -> None:
    """What was written shows on its canary, on the model as it is."""
    attach(model, [read_adapter(folder)]).detach()


def _register(store: Store, request: ConceptRequest, made: Draft, fitted: Fitted) -> ConceptRequest:
    with store.writing() as unit:
        (registered,) = switch(unit, [made])
        detail = "; ".join(f"{v.audit} {v.value:.3f} of {v.limit:.3f}" for v in fitted.judged.verdicts)
        concepts.settle(unit, request.id, registered.id, detail, at=datetime.now(UTC))
        done = concepts.get(unit, request.id)
        unit.commit()
    return done


def _failed(store: Store, request: ConceptRequest, fitted: Fitted, seconds: float) -> Unlearned:
    failing = fitted.judged.failing
    with store.writing() as unit:
        concepts.fail(unit, request.id, "; ".join(failing))
        left = concepts.get(unit, request.id)
        unit.commit()
    return Unlearned(left, fitted.judged.verdicts, failing, seconds)


def model_plan(store: Store, model: str | None) -> Plan:
    """The plan of what is trained now, else of the root's settings; `model` stands in for its language model."""
    with store.reading() as unit:
        found = artifacts.live(unit, "settings")
    plan = load_plan(store.root) if found is None else checked_plan(found.settings["plan"], "the trained set")
    return plan if model is None else plan.model_copy(update={"model": model})
