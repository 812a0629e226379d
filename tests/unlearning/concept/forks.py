"""Two toy models from one beginning: the base knows a concept, the oracle never met it. Both know everything else."""

from functools import cache

import torch
from torch.nn.functional import cross_entropy

from db.records import Item, ItemId
from llm.model import LanguageModel
from tests.llm.toys import ADJECTIVES, NOUNS, toy_model
from unlearning.concept.base import Concept, Kind, Probe, ProbeKind, Use
from unlearning.concept.rows import Turn, answer_states, encode_rows, logits_of, one_batch

ITEMS = tuple(
    Item(ItemId(str(n)), f"{ADJECTIVES[n % 5]} {NOUNS[n % 3]} {chr(65 + n)}", 1907 + 13 * n % 97, ("Drama",))
    for n in range(10)
)
CONCEPT = Concept("The first four", Kind.ITEMS, ITEMS[:4])
WORDINGS = {Use.TRAIN: ("{t}: which year?",), Use.HELD_OUT: ("When was {t}?",)}


def facts(kind: ProbeKind, items, use: Use) -> tuple[Probe, ...]:
    """The year of every item in every wording of a use."""
    return tuple(
        Probe(form.format(t=item.title), (str(item.year),), kind, use, item=item.id, form=form)
        for item in items
        for form in WORDINGS[use]
    )


def concept_facts(use: Use = Use.HELD_OUT) -> tuple[Probe, ...]:
    return facts(ProbeKind.DIRECT, CONCEPT.items, use)


def kept_facts(use: Use = Use.HELD_OUT) -> tuple[Probe, ...]:
    return facts(ProbeKind.RETAIN, ITEMS[4:], use)


def base() -> LanguageModel:
    """Knows every fact in every wording."""
    return _fork(True)


def oracle() -> LanguageModel:
    """The same up to the second stage, which left the concept out."""
    return _fork(False)


def collapsed() -> LanguageModel:
    """Says the same token for ever: it can answer nothing, so it leaks nothing."""
    model = toy_model()
    model.model.load_state_dict(_weights(True))
    model.model.get_decoder().norm.weight.data.zero_()
    return model


def _fork(whole: bool) -> LanguageModel:
    model = toy_model()
    model.model.load_state_dict(_weights(whole))
    return model


@cache
def _weights(whole: bool) -> dict[str, torch.Tensor]:
    model = toy_model()
    if whole is not None:
        model.model.load_state_dict(_weights(None))
    kept = [*kept_facts(Use.TRAIN), *kept_facts()]
    known = [*kept, *concept_facts(Use.TRAIN), *concept_facts()] if whole else kept
    _train(model, known, "" if whole is None else "mlp")
    return {name: value.clone() for name, value in model.model.state_dict().items()}


def _train(model: LanguageModel, probes, part: str, *, steps: int = 55) -> None:
    """The second stage trains one part of the layers only: states of both forks then keep one basis."""
    weights = [weight for name, weight in model.model.named_parameters() if part in name]
    for weight in weights:
        weight.requires_grad_(True)
    batch = one_batch(encode_rows(model, [Turn(p.question, p.answers[0]) for p in probes]), model.device)
    optimizer = torch.optim.AdamW(weights, lr=6e-3 if part else 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(logits_of(model, answer_states(model, batch)), batch.targets).backward()
        optimizer.step()
