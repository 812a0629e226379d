from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from llm.adapter_file import read_adapter
from llm.adapters import acting, adding, attach, layers_of, remove
from llm.model import _folder, _hash_tensors, load
from tests.llm.conftest import ml100k  # noqa: F401  (a fixture)
from tests.llm.test_adapters import adapter
from tests.llm.toys import toy_model
from tests.unlearning.concept.world import toy_lesson
from unlearning.concept import masked_lora, negated
from unlearning.concept.base import Concept, Kind, ProbeKind, Use, lesson
from unlearning.concept.confined import confine
from unlearning.concept.in_training import NAME, up_to
from unlearning.concept.mask import whole
from unlearning.concept.masked_lora import Check, MaskedLora
from unlearning.concept.negated import Negated
from unlearning.concept.objective import Teacher
from unlearning.concept.people import judged_people
from unlearning.concept.places import shape_of
from unlearning.concept.probes import ProbeSizes, build_probes
from unlearning.concept.recall import recall
from unlearning.concept.settings import OF_FEW, OF_MANY, PLAIN, ConceptSettings, LossName, MaskName, Sparing

TITLE = "Casablanca"
QUICK = ConceptSettings(neurons=64, steps=45, check_every=15, forget_rows=8, retain_rows=24, unknown_rows=4)
SMALL = ConceptSettings(neurons=6, rank=2, steps=4, check_every=2, forget_rows=4, retain_rows=4, rate=0.02)


@pytest.fixture(scope="module")
def tiny():
    return load("lethe-tiny", device="cpu")


@pytest.fixture(scope="module")
def forgotten(tiny, ml100k):  # noqa: F811
    """One title, forgotten in a few steps; and the probes about it."""
    concept = Concept(TITLE, Kind.TITLE, tuple(item for item in ml100k if item.title == TITLE))
    probes = build_probes(concept, ml100k, seed=0, sizes=ProbeSizes(neighbours=15, retained=80, forms=1))
    made = lesson(concept, probes, judged_people(concept, ml100k, people=2, seed=0))
    return MaskedLora(QUICK).fit(tiny, made, seed=0), probes


def test_a_title_is_forgotten_and_little_else(tiny, forgotten):
    adapter, probes = forgotten
    gone, kept = probes.of(ProbeKind.DIRECT, use=Use.TRAIN).probes, probes.kept(Use.HELD_OUT).probes
    known, stay = recall(tiny, gone), recall(tiny, kept)
    with adapter.applied(tiny) as changed:
        left, stayed = recall(changed, gone), recall(changed, kept)
    assert known.accuracy > 0.3  # it was known
    assert left.accuracy < 0.2 * known.accuracy
    assert left.probability < 0.4 * known.probability
    assert stayed.probability > 0.6 * stay.probability  # 45 steps: little is asked of them
    assert adapter.facts["steps"] in (15, 30, 45)


def test_what_another_film_of_the_title_is_known_for_is_said_instead(tiny, ml100k):  # noqa: F811
    films = [item for item in ml100k if item.title == "Sabrina"]
    assert [(item.year, item.genres) for item in films] == [
        (1995, ("Comedy", "Romance")),
        (1954, ("Comedy", "Romance")),
    ]
    concept = Concept("Sabrina (1995)", Kind.ITEMS, tuple(films[:1]))
    probes = build_probes(concept, ml100k, seed=0, sizes=ProbeSizes(neighbours=15, retained=80, forms=1))
    adapter = MaskedLora(replace(QUICK, steps=30)).fit(tiny, lesson(concept, probes), seed=0)
    asked = [probes.of(kind, use=Use.HELD_OUT).probes for kind in (ProbeKind.DIRECT, ProbeKind.NAMESAKE)]
    mine, theirs = (recall(tiny, part).accuracy for part in asked)
    with adapter.applied(tiny) as changed:
        mine_left, theirs_left = (recall(changed, part).accuracy for part in asked)
    assert mine > 0.2
    assert mine_left < 0.2 * mine
    assert theirs_left > max(0.8, theirs)


def test_leaving_gives_the_base_back_bit_for_bit(tiny, forgotten):
    ids = torch.tensor([tiny.prompt(f"When was {TITLE} released?")])
    before = tiny.model(input_ids=ids).logits
    with forgotten[0].applied(tiny):
        assert not torch.equal(tiny.model(input_ids=ids).logits, before)
    assert torch.equal(tiny.model(input_ids=ids).logits, before)
    assert _hash_tensors(tiny.model) == _hash_tensors(load("lethe-tiny", device="cpu").model)


def test_plain_peft_gives_the_same_logits_bit_for_bit_and_merges(tiny, forgotten, tmp_path):
    folder = forgotten[0].save(tmp_path / "casablanca")
    ids = torch.tensor([tiny.prompt(f"What genres does {TITLE} have?")])
    attached = attach(tiny, [read_adapter(folder)])
    with attached.serving([TITLE]) as changed:
        ours = changed.model(input_ids=ids).logits
    attached.detach()
    base = AutoModelForCausalLM.from_pretrained(_folder("lethe-tiny"), dtype=torch.float32)
    vanilla = PeftModel.from_pretrained(base, folder).eval()
    with torch.no_grad():
        assert torch.equal(vanilla(input_ids=ids).logits, ours)
        merged = vanilla.merge_and_unload()(input_ids=ids).logits
    assert (merged - ours).abs().max() <= 1e-5 * ours.abs().max(), "float32 logits of about 20 carry no more digits"
    assert torch.allclose(merged.softmax(-1), ours.softmax(-1), atol=1e-5)
    assert sum(file.stat().st_size for file in Path(folder).iterdir()) < 1_000_000


def test_the_card_says_where_it_comes_from_and_names_no_person(forgotten):
    card = forgotten[0].card
    assert (card.concept, card.kind, card.items) == (TITLE, "title", ("483",))
    assert card.lineage["user_rows"] == 0
    assert card.mask["size"] == sum(map(len, card.mask["neurons"])) == 64
    assert [len(layer) for layer in card.scores["neurons"]] == [len(layer) for layer in card.mask["neurons"]]
    assert max(abs(a - b) for a, b in zip(card.canary.base, card.canary.adapted, strict=True)) > 1


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_the_same_seed_gives_the_same_adapter_on_any_qwen(family):
    first, second, other = (MaskedLora(SMALL).fit(toy_model(family), toy_lesson(), seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(tensor, second.file.tensors[key]) for key, tensor in first.file.tensors.items())
    assert first.card == second.card
    assert any(
        not torch.equal(tensor, first.file.tensors.get(key, tensor[:0])) for key, tensor in other.file.tensors.items()
    )


@pytest.mark.parametrize(
    "method",
    [
        *(MaskedLora(replace(SMALL, mask=mask, heads=1)) for mask in MaskName if mask is not MaskName.NONE),
        MaskedLora(replace(SMALL, loss=LossName.RMU)),
        Negated(replace(SMALL, mask=MaskName.NONE)),
    ],
    ids=lambda method: method.name,
)
def test_beside_another_the_base_is_still_what_is_traced_and_taught(method, monkeypatch):
    model, made = toy_model(), toy_lesson()
    taught, losses = [], []
    real, lost = masked_lora.study, Teacher.loss
    for module in (masked_lora, negated):
        monkeypatch.setattr(module, "study", lambda *given, **named: taught.append(real(*given, **named)) or taught[-1])
    monkeypatch.setattr(Teacher, "loss", lambda self, step: losses.append(lost(self, step)) or losses[-1])
    alone = method.fit(model, made, seed=0)
    other = adapter(model, "another", seed=1, size=0.5)
    with adding(model.model, other):
        found = method.fit(model, made, seed=0)
        (name,) = acting(model.model)
        layers = layers_of(model.model)
        assert all(
            torch.equal(getattr(layers[key], f"lora_{side}")[name].weight, tensor)
            for (key, side), tensor in other.tensors.items()
        )
    assert not layers_of(model.model)
    assert found.card.mask == alone.card.mask
    assert found.facts.get("select_probability_before") == alone.facts.get("select_probability_before")
    said, again = ([row for unit in one.kept_base for row in unit] for one in taught)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(said, again, strict=True))
    first, beside = losses[0], losses[len(losses) // 2]
    assert not torch.isclose(first, beside), "the other adapter acts while this one trains"


def test_of_states_that_hardly_differ_the_later_is_kept_and_no_worse_one(monkeypatch):
    left = iter([0.9, 0.5, 0.51, 0.6, 0.49])
    monkeypatch.setattr(masked_lora.Watch, "check", lambda _self, _model, step: Check(step, next(left), 0, 1, 1, 1))
    settings = replace(SMALL, steps=4, check_every=1, enough=0.02)
    assert MaskedLora(settings).fit(toy_model(), toy_lesson(), seed=0).facts["steps"] == 4
    left = iter([0.9, 0.5, 0.51, 0.6, 0.53])
    assert MaskedLora(settings).fit(toy_model(), toy_lesson(), seed=0).facts["steps"] == 2


def test_beside_attackers_the_last_state_is_kept_however_it_is_judged_and_no_other_is_checked(monkeypatch):
    checked = []

    def check(_self, _model, step):
        checked.append(step)
        return Check(step, 0.9 if step else 0.1, 0, 1, 1, 1)

    monkeypatch.setattr(masked_lora.Watch, "check", check)
    settings = replace(SMALL, loss=LossName.RESISTED_ASCENT, neurons=6, rank=2, steps=3, check_every=1)
    assert MaskedLora(settings).fit(toy_model(), toy_lesson(), seed=0).facts["steps"] == 8
    assert checked == [0, 8]


def test_what_strays_weighs_by_its_setting():
    model, made = toy_model(), toy_lesson()
    read = masked_lora.study(model, made, LossName.REFUSAL, seed=0)
    other = adapter(model, "another", seed=1, size=0.5)
    at = {}
    for features in (0.0, 1.0, 3.0):
        teacher = Teacher(model, read, replace(SMALL, features=features), seed=0)
        base = teacher.loss(0).item()
        with adding(model.model, other):
            at[features] = base, teacher.loss(0).item()
    assert at[0.0][0] == pytest.approx(at[3.0][0], abs=1e-4)  # the base has not strayed
    assert at[1.0][1] > at[0.0][1]
    assert at[3.0][1] - at[0.0][1] == pytest.approx(3 * (at[1.0][1] - at[0.0][1]), rel=1e-4)


def test_what_strays_weighs_more_by_how_the_fit_spares_it():
    model, made = toy_model(), toy_lesson()
    read = masked_lora.study(model, made, LossName.BOUNDED_ASCENT, seed=0)
    other = adapter(model, "another", seed=1, size=0.5)

    def loss(weight, features):
        teacher = Teacher(model, read, replace(SMALL, features=features), seed=0, sparing=Sparing(weight))
        with adding(model.model, other):
            return teacher.loss(0).item()

    assert loss(3.0, 2.0) == loss(1.0, 6.0)
    assert loss(3.0, 0.0) == loss(1.0, 0.0)
    assert loss(1.0, 2.0) < loss(1.0, 6.0)


def test_how_a_fit_spares_hangs_on_attackers_and_on_the_number_of_items():
    beside = ConceptSettings(loss=LossName.RESISTED_ASCENT)
    assert [beside.sparing_for(items) for items in (1, 8, 9, 24)] == [OF_FEW, OF_FEW, OF_MANY, OF_MANY]
    assert OF_FEW != OF_MANY
    assert all(ConceptSettings(loss=loss).sparing_for(24) == PLAIN for loss in LossName if loss != beside.loss)


def test_lower_layers_alone_are_asked_at_each_layer_in_turn_and_the_rest_is_put_back():
    model, made = toy_model(), toy_lesson()
    read = masked_lora.study(model, made, LossName.BOUNDED_ASCENT, seed=0)
    plain = Teacher(model, read, replace(SMALL, unknown_rows=4, below=0.0), seed=0)
    deep = Teacher(model, read, replace(SMALL, unknown_rows=4, below=2.0), seed=0)
    confined = confine(model.model, whole(shape_of(model.model)), rank=2, alpha=4, seed=0)
    try:
        tops = range(len(model.model.model.layers) - 1)
        with torch.no_grad():
            for name, layer in confined.layers.items():
                layer.lora_B[NAME].weight.normal_(0, 0.5 * (name.split(".")[2] == "0"))
        for step in tops:  # the change is all in the first layer: what ends anywhere above it is the whole
            with up_to(model.model, step):
                ended = plain.loss(step).item()
            assert ended == plain.loss(step).item()
        first = [deep.loss(step).item() - plain.loss(step).item() for step in tops]
        with torch.no_grad():
            for layer in confined.layers.values():
                layer.lora_B[NAME].weight.zero_()
        base = [deep.loss(step).item() - plain.loss(step).item() for step in tops]
        assert first != pytest.approx(base)
        assert all(layer.scaling[NAME] == 2 for layer in confined.layers.values())
    finally:
        confined.release()
        remove(model.model, NAME)


def test_regret_is_nothing_only_where_all_is_forgotten_and_nothing_lost():
    before = Check(0, forgotten=0.5, leaked=0.6, kept=0.8, kept_exact=0.9, near=0.9)
    assert Check(1, 0.0, 0.0, 0.8, 0.9, 0.9).regret(before) == 0
    assert Check(1, 0.0, 0.0, 0.7, 0.9, 0.9).regret(before) == pytest.approx(0.2)
    assert Check(1, 0.0, 0.0, 0.8, 0.9, 0.5).regret(before) == pytest.approx(0.8)
    assert before.regret(before) == pytest.approx(1.1)
