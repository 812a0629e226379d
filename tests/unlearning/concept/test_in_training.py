"""The adapter in training within a context: which tokens miss some of its input, and that nothing stays behind."""

import pytest
import torch

from llm.adapters import layers_of
from unlearning.concept.in_training import NAME, dropping
from unlearning.concept.objective import Teacher
from unlearning.concept.rows import answer_states, one_batch
from unlearning.concept.settings import ConceptSettings, LossName, Sparing
from unlearning.concept.study import Part

SEED = [3, 4]


@pytest.mark.usefixtures("confined")
def test_only_the_rows_whose_tokens_miss_something_say_anything_else(model, read):
    rows = [read.kept[unit][0] for unit in read.units_of(Part.UNKNOWN_FACT)[:4]]
    batch = one_batch(rows, model.device)
    first = batch.rows.index(0)  # row 0's own tokens, by its place in the batch
    with torch.no_grad():
        before = answer_states(model, batch)
        with dropping(model.model, batch.owner == first, 0.5, SEED):
            missing = answer_states(model, batch)
        after = answer_states(model, batch)
    of_first = batch.target_owner == first
    assert 0 < int(of_first.sum()) < len(of_first)
    assert not torch.allclose(before[of_first], missing[of_first], atol=1e-4)
    assert torch.equal(before[~of_first], missing[~of_first])
    assert torch.equal(before, after)
    assert all(isinstance(layer.lora_dropout[NAME], torch.nn.Identity) for layer in layers_of(model.model).values())


def test_what_is_missed_has_its_share_and_the_rest_counts_for_more(model, confined):
    where = torch.zeros(2, 50, dtype=torch.bool)
    where[1, 10:40] = True
    given = torch.ones(2, 50, 64)
    (layer, *_) = confined.layers.values()
    with dropping(model.model, where, 0.25, SEED):
        read = layer.lora_dropout[NAME](given)
        again = layer.lora_dropout[NAME](given)
    assert torch.equal(read[~where], given[~where])
    values = read[where]
    assert values.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert (values == 0).float().mean().item() == pytest.approx(0.25, abs=0.04)
    assert not torch.equal(read, again), "one layer after another misses something else"
    with dropping(model.model, where, 0.25, SEED):
        assert torch.equal(read, layer.lora_dropout[NAME](given))


@pytest.mark.usefixtures("confined")
def test_a_loss_follows_from_its_seed_and_step_with_all_that_is_missed(model, read):
    settings = ConceptSettings(forget_rows=2, retain_rows=4, unknown_rows=3, loss=LossName.RESISTED_ASCENT)

    def losses(**sparing):
        teacher = Teacher(model, read, settings, seed=0, sparing=Sparing(**sparing))
        with torch.no_grad():
            return [teacher.loss(step).item() for step in (0, 1, 0)]

    first, second, again = losses(dropout=0.3)
    assert first == again
    assert losses(dropout=0.3) == [first, second, again]
    assert losses()[0] != pytest.approx(first, rel=1e-4)
    assert losses(weight=2.0)[0] > losses()[0]
