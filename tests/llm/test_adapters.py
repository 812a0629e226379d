import json
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from db.errors import LetheError
from llm.adapter_file import (
    CARD,
    CONFIG,
    WEIGHTS,
    AdapterCard,
    AdapterFile,
    Canary,
    lora_config,
    read_adapter,
    read_card,
    write_adapter,
)
from llm.adapters import adding, attach, canary_logits, layers_of, make_canary, next_logits, using
from llm.model import _hash_tensors
from tests.llm.toys import toy_model

PROMPT = "When was Red River released?"
MODULES = ("model.layers.0.mlp.down_proj", "model.layers.1.mlp.up_proj", "model.layers.1.self_attn.o_proj")


def adapter(model, concept="Red River", *, seed=0, modules=MODULES, size=0.3):
    """A random adapter with the card of what it does."""
    draw = torch.Generator().manual_seed(seed)
    tensors = {}
    for name in modules:
        linear = model.model.get_submodule(name)
        tensors[name, "A"] = torch.randn(2, linear.in_features, generator=draw) * size
        tensors[name, "B"] = torch.randn(linear.out_features, 2, generator=draw) * size
    card = AdapterCard(concept, "title", ("1",), model.fingerprint, Canary(PROMPT, (1,), (0.0,), (0.0,)))
    made = AdapterFile(card, lora_config(modules, rank=2, alpha=4.0), tensors)
    with adding(model.model, made):
        canary = make_canary(model, PROMPT, "added0")
    return replace(made, card=replace(card, canary=canary))


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_an_attached_adapter_serves_only_when_asked_and_leaves_no_trace(family):
    model = toy_model(family)
    before, weights = next_logits(model, PROMPT), _hash_tensors(model.model)
    made = adapter(model)
    attached = attach(model, [made])
    assert torch.equal(next_logits(model, PROMPT), before)
    with attached.serving(["Red River"]) as served:
        assert canary_logits(served, PROMPT, made.card.canary.tokens) == made.card.canary.adapted
        assert (next_logits(served, PROMPT) - before).abs().max() > 0.1
    assert torch.equal(next_logits(model, PROMPT), before)
    attached.detach()
    assert torch.equal(next_logits(model, PROMPT), before)
    assert _hash_tensors(model.model) == weights
    assert not layers_of(model.model)
    assert not hasattr(model.model, "peft_config")


def test_what_is_written_is_read_back_and_plain_peft_gives_the_same_bits(tmp_path):
    model = toy_model()
    made = adapter(model)
    card = write_adapter(tmp_path / "one", made)
    found = read_adapter(tmp_path / "one")
    assert found.card == card == read_card(tmp_path / "one")
    assert found.modules == tuple(sorted(MODULES))
    assert all(torch.equal(found.tensors[key], tensor) for key, tensor in made.tensors.items())
    with attach(model, [found]).serving(["Red River"]):
        ours = next_logits(model, PROMPT)
    other = toy_model()
    vanilla = PeftModel.from_pretrained(other.model, tmp_path / "one").eval()
    ids = torch.tensor([other.prompt(PROMPT)])
    with torch.inference_mode():
        assert torch.equal(vanilla(input_ids=ids).logits[0, -1], ours)
        merged = vanilla.merge_and_unload()(input_ids=ids).logits[0, -1]
    assert torch.allclose(merged, ours, atol=1e-4)


def test_several_adapters_add_up_and_can_be_served_in_any_choice():
    model = toy_model()
    first = adapter(model, "Red River")
    second = adapter(model, "Last Dog", seed=1, modules=MODULES[1:])
    attached = attach(model, [first, second])
    with attached.serving(["Last Dog"]):
        alone = next_logits(model, PROMPT)
    with attached.serving(["Red River", "Last Dog"]):
        both = next_logits(model, PROMPT)
        with attached.serving(["Last Dog"]):
            assert torch.equal(next_logits(model, PROMPT), alone)
        assert torch.equal(next_logits(model, PROMPT), both)
    attached.detach()
    with torch.no_grad():  # the same by hand: weights plus the deltas
        for made in (first, second):
            for name in made.modules:
                delta = made.tensors[name, "B"] @ made.tensors[name, "A"] * 2
                model.model.get_submodule(name).weight += delta
    assert torch.allclose(next_logits(model, PROMPT), both, atol=1e-3)
    with pytest.raises(LetheError, match="no adapter of 'Night'"), attached.serving(["Night"]):
        pass


def test_contexts_of_adapters_nest_and_undo_themselves():
    model = toy_model()
    first, second = adapter(model), adapter(model, "Last Dog", seed=1)
    base = next_logits(model, PROMPT)
    with adding(model.model, first):
        one = next_logits(model, PROMPT)
        with adding(model.model, second):
            both = next_logits(model, PROMPT)
        assert torch.equal(next_logits(model, PROMPT), one)
    assert torch.equal(next_logits(model, PROMPT), base)
    with attach(model, [first, second]).serving(["Red River", "Last Dog"]):
        assert torch.allclose(next_logits(model, PROMPT), both, atol=1e-4)


def shown(made, **changes):
    return replace(made, card=replace(made.card, canary=replace(made.card.canary, **changes)))


def test_an_adapter_that_does_not_show_its_canary_is_refused_with_the_base_as_it_was():
    model = toy_model()
    before = next_logits(model, PROMPT)
    made = adapter(model)
    off = shown(made, adapted=tuple(value + 0.1 for value in made.card.canary.adapted))
    with pytest.raises(LetheError, match="off on its canary"):
        attach(model, [off])
    with pytest.raises(LetheError, match="off on its canary"):
        attach(model, [replace(made, tensors={key: tensor * 1.1 for key, tensor in made.tensors.items()})])
    idle = {key: torch.zeros_like(tensor) for key, tensor in made.tensors.items()}
    with pytest.raises(LetheError, match="as the base has it"):
        attach(model, [shown(replace(made, tensors=idle), adapted=made.card.canary.base)])
    assert torch.equal(next_logits(model, PROMPT), before)
    assert not layers_of(model.model)


def test_an_adapter_for_another_base_or_of_another_shape_is_refused():
    model, other = toy_model(), toy_model(seed=1)
    with pytest.raises(LetheError, match="another base"):
        attach(other, [adapter(model)])
    made = adapter(model)
    key = (MODULES[0], "A")
    with pytest.raises(LetheError, match="its own model"):
        attach(model, [replace(made, tensors=dict(made.tensors) | {key: torch.zeros(2, 7)})])
    absent = {("model.layers.9.mlp.up_proj", side): tensor for (_, side), tensor in made.tensors.items()}
    with pytest.raises(LetheError, match=r"layers\.9"):
        attach(model, [replace(made, tensors=absent)])
    with pytest.raises(LetheError, match="fits no module"):
        attach(model, [replace(made, config=lora_config(["model.layers.9.mlp.up_proj"], rank=2, alpha=4.0))])
    assert not layers_of(model.model)
    attach(model, [made])
    with pytest.raises(LetheError, match="already"):
        attach(model, [made])


def break_card(folder):
    (folder / CARD).write_text("{}", encoding="utf-8")


def break_weights(folder):
    tensors = load_file(folder / WEIGHTS)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, folder / WEIGHTS)


def break_config(folder, **changes):
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(json.dumps(config | changes), encoding="utf-8")


@pytest.mark.parametrize(
    ("breaking", "message"),
    [
        (break_card, "readable"),
        (break_weights, "not the one its card"),
        (lambda folder: break_config(folder, use_dora=True), "use_dora"),
        (lambda folder: break_config(folder, modules_to_save=["lm_head"]), "modules_to_save"),
        (lambda folder: break_config(folder, bias="all"), "no plain LoRA"),
        (lambda folder: break_config(folder, peft_type="IA3"), "no plain LoRA"),
        (lambda folder: (folder / WEIGHTS).unlink(), "readable"),
    ],
)
def test_a_folder_that_is_not_what_lethe_wrote_is_refused(tmp_path, breaking, message):
    write_adapter(tmp_path / "one", adapter(toy_model()))
    breaking(tmp_path / "one")
    with pytest.raises(LetheError, match=message):
        read_adapter(tmp_path / "one")


def test_a_tensor_of_any_other_name_is_refused(tmp_path):
    made = adapter(toy_model())
    strange = replace(made, tensors=dict(made.tensors) | {("lm_head", "A"): torch.zeros(2, 2)})
    write_adapter(tmp_path / "one", strange)
    with pytest.raises(LetheError, match="lm_head"):
        read_adapter(tmp_path / "one")


def test_using_gives_back_what_acted_before_and_what_was_trainable():
    model = toy_model()
    with adding(model.model, adapter(model)):
        for layer in layers_of(model.model).values():
            layer.set_adapter(["added0"], inference_mode=False)
        with using(model.model, []):
            assert all(layer.active_adapters == [] for layer in layers_of(model.model).values())
        for layer in layers_of(model.model).values():
            assert layer.active_adapters == ["added0"]
            assert layer.lora_A["added0"].weight.requires_grad


def test_a_canary_without_a_token_is_refused():
    with pytest.raises(LetheError, match="one at least"):
        Canary(PROMPT, (), (), ())


def test_in_bfloat16_the_adapter_stays_float32_and_is_known_by_its_canary():
    model = toy_model()
    made = adapter(model)
    model.model.to(torch.bfloat16)
    attached = attach(model, [made])
    assert all(layer.lora_A["concept0"].weight.dtype == torch.float32 for layer in layers_of(model.model).values())
    with attached.serving(["Red River"]):
        assert next_logits(model, PROMPT).isfinite().all()
