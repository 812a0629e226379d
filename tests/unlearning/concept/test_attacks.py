from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isnan

import pytest
import torch

from db.errors import LetheError
from llm.adapter_file import lora_config
from llm.adapters import inject, layers_of, remove, use
from llm.model import LanguageModel
from tests.llm.toys import toy_model
from tests.unlearning.concept import forks
from tests.unlearning.concept.world import catalogue, concept, probes
from unlearning.concept.attacks.drawn import examples, halves
from unlearning.concept.attacks.formats import FORMATS, formats
from unlearning.concept.attacks.history import reinjection
from unlearning.concept.attacks.outcome import comeback
from unlearning.concept.attacks.prefixes import prefixes
from unlearning.concept.attacks.quantise import GROUP, eight_bits, four_bits, quantised
from unlearning.concept.attacks.relearn import Attempt, Budget, relearn
from unlearning.concept.attacks.suite import attack, attempts
from unlearning.concept.attacks.trainable import Way
from unlearning.concept.base import ProbeKind, Use
from unlearning.concept.evaluate import Fork, questionnaire


@dataclass
class Adapter:
    """A forgetting made of a LoRA whose effect is given by hand: it adds noise to one projection."""

    strength: float = 0.0
    facts: dict = field(default_factory=dict)

    @contextmanager
    def applied(self, model: LanguageModel):
        module = "model.layers.0.mlp.down_proj"
        layers = inject(model.model, lora_config([module], rank=2, alpha=2.0), "byhand")
        with torch.no_grad():
            draw = torch.Generator().manual_seed(3)
            for side in (layers[module].lora_A, layers[module].lora_B):
                weight = side["byhand"].weight
                weight.copy_(torch.randn(weight.shape, generator=draw) * self.strength)
        use(model.model, ["byhand"])
        yield model
        remove(model.model, "byhand")


def weights_of(model):
    return {name: value.clone() for name, value in model.model.state_dict().items()}


def same(model, before):
    after = model.model.state_dict()
    return after.keys() == before.keys() and all(torch.equal(after[name], value) for name, value in before.items())


def test_comeback_by_hand():
    assert comeback(base=0.8, before=0.0, after=0.2) == 0.25
    assert comeback(base=0.8, before=0.0, after=0.8) == 1
    assert isnan(comeback(base=0.5, before=0.5, after=0.5))


def test_plain_format_asks_the_probe_itself_and_all_others_something_else():
    dressed = {name: dress("When was Casablanca shown?") for name, dress in FORMATS.items()}
    assert dressed["plain"] == "When was Casablanca shown?"
    assert len(set(dressed.values())) == len(FORMATS)
    assert all("casa" in text.lower() or "csaa" in text.lower() for text in dressed.values())


def test_formats_and_prefixes_find_everything_in_the_base_and_nothing_in_the_oracle():
    asked = forks.concept_facts()
    for model, expected in ((forks.base(), 1), (forks.oracle(), 0)):
        plain, *rest = formats(forks.base(), Fork(model), asked)
        assert (plain.variant, plain.known.mean) == ("plain", expected)
        assert len(rest) == len(FORMATS) - 1
        half = prefixes(forks.base(), Fork(model), asked)[-1]
        assert half.variant == "half the answer"
        assert half.known.mean == expected


def test_rounding_keeps_within_half_a_step():
    weight = torch.randn(5, 2 * GROUP + 7, generator=torch.Generator().manual_seed(0))
    step = weight.abs().amax(1, keepdim=True) / 127
    assert ((eight_bits(weight) - weight).abs() <= step / 2 + 1e-6).all()
    group = weight[:, GROUP : 2 * GROUP]
    step = (group.amax(1, keepdim=True) - group.amin(1, keepdim=True)) / 15
    rounded = four_bits(weight)[:, GROUP : 2 * GROUP]
    assert ((rounded - group).abs() <= step / 2 + 1e-6).all()
    assert all(len(set(line.tolist())) <= 16 for line in rounded)
    assert torch.equal(four_bits(torch.ones(2, 3)), torch.ones(2, 3))


@pytest.mark.parametrize("merged", [True, False])
def test_quantising_rounds_every_projection_and_leaves_no_trace(merged):
    model = toy_model()
    before = weights_of(model)
    with quantised(model.model, 4, merged=merged):
        inside = model.model.state_dict()
        changed = {name for name, value in before.items() if not torch.equal(inside[name], value)}
    assert changed == {name for name in before if "_proj.weight" in name}
    assert same(model, before)


def test_a_merged_adapter_is_rounded_with_the_weights_and_one_beside_is_not():
    model, forgetting = toy_model(), Adapter(0.3)
    with forgetting.applied(model) as changed:
        layer = layers_of(changed.model)["model.layers.0.mlp.down_proj"]
        delta, plain = layer.get_delta_weight("byhand"), layer.weight.data.clone()
        with quantised(changed.model, 8, merged=True):
            assert torch.equal(layer.weight.data, eight_bits(plain + delta))
            assert layer.active_adapters == []
        with quantised(changed.model, 8, merged=False):
            assert torch.equal(layer.weight.data, eight_bits(plain))
            assert layer.active_adapters == ["byhand"]
        assert torch.equal(layer.weight.data, plain)
        assert layer.active_adapters == ["byhand"]


def test_the_base_relearns_nothing_and_the_oracle_learns_what_it_is_taught():
    attempt = Attempt("relearn", forks.concept_facts(Use.TRAIN), forks.concept_facts())
    budget = Budget(steps=(1, 30), rate=1e-2)
    first, early, late = relearn(forks.base(), Fork(forks.oracle()), attempt, budget, seed=0)
    assert [one.steps for one in (first, early, late)] == [0, 1, 30]
    assert first.known.mean == 0
    assert late.probability > 10 * first.probability
    known = relearn(forks.base(), Fork(forks.base()), attempt, Budget(steps=(1,)), seed=0)
    assert [one.known.mean for one in known] == [1, 1]


@pytest.mark.parametrize("way", Way)
def test_relearning_leaves_no_trace_and_is_the_same_again(way):
    model, forgetting = toy_model(), Adapter(0.3)
    before = weights_of(model)
    attempt = Attempt("relearn", forks.concept_facts(Use.TRAIN), forks.concept_facts())
    runs = [relearn(model, forgetting, attempt, Budget(steps=(1, 3)), way=way, seed=1) for _ in range(2)]
    assert same(model, before)
    assert not any(weight.requires_grad for weight in model.model.parameters())
    assert [one.probability for one in runs[0]] == [one.probability for one in runs[1]]
    assert runs[0][2].probability != runs[0][0].probability


def test_only_adapters_that_act_can_be_continued():
    attempt = Attempt("relearn", forks.concept_facts(Use.TRAIN), forks.concept_facts())
    assert relearn(forks.base(), Fork(forks.oracle()), attempt, way=Way.CONTINUED, seed=0) == ()


def test_halves_share_no_item():
    taught, asked = halves(forks.concept_facts(Use.TRAIN), forks.concept_facts(), seed=0)
    assert {p.item for p in taught} | {p.item for p in asked} == forks.CONCEPT.ids
    assert not {p.item for p in taught} & {p.item for p in asked}
    assert len({p.item for p in taught}) == 2


def test_halves_of_one_item_share_no_fact():
    one = [probe for probe in probes().of(ProbeKind.DIRECT) if probe.item == "28"]
    taught, asked = halves(*([p for p in one if p.use is use] for use in (Use.TRAIN, Use.HELD_OUT)), seed=0)
    answers = [{probe.answers[0] for probe in part} for part in (taught, asked)]
    assert sorted(map(len, answers)) == [1, 1]
    assert not any("movie" in answer for part in answers for answer in part)
    assert not answers[0] & answers[1]


def test_examples_are_drawn_by_the_seed():
    pool = forks.kept_facts()
    assert examples(pool, 3, seed=0) == examples(pool, 3, seed=0) != examples(pool, 3, seed=2)
    assert len(examples(pool, 99, seed=0)) == len(pool)


def test_a_relearning_without_facts_or_steps_is_refused():
    with pytest.raises(LetheError, match="0 facts taught"):
        Attempt("relearn", (), forks.concept_facts())
    with pytest.raises(LetheError, match="ascending numbers"):
        Budget(steps=(5, 1))


def test_history_names_the_concept_but_never_the_answer():
    asked = forks.concept_facts()
    titles, told = reinjection(forks.base(), Fork(forks.base()), forks.CONCEPT, asked)
    assert (titles.variant, told.variant) == ("titles", "facts of others")
    single = type(forks.CONCEPT)("One", forks.CONCEPT.kind, forks.CONCEPT.items[:1])
    assert [one.variant for one in reinjection(forks.base(), Fork(forks.base()), single, asked[:1])] == ["titles"]


def test_the_suite_runs_every_attack_and_relearning_has_its_four_attempts():
    one = questionnaire(concept(), catalogue(), probes(), seed=0, most=4, people=2)
    found = attack(toy_model(), Fork(toy_model()), concept(), one, seed=0)
    assert {outcome.attack for outcome in found} == {"format", "prefix", "quantised", "history", "raw base"}
    assert len({(outcome.attack, outcome.variant) for outcome in found}) == len(found) == 9 + 5 + 4 + 4 + 1
    tried = list(attempts(probes(), seed=0))
    assert [one.name for one in tried] == ["relearn 5", "relearn 20", "relearn half", "benign"]
    assert {probe.use for one in tried for probe in one.taught} == {Use.TRAIN}
    assert {probe.use for one in tried for probe in one.asked} == {Use.HELD_OUT}
    assert not any(probe.item in concept().ids for probe in tried[-1].taught)
