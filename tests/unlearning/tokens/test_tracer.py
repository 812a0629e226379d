"""TRACER's pieces against cases worked by hand, and the whole on a toy recommender."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from db.errors import LetheError
from recsys.semantic_ids.codes import numbered
from recsys.semantic_ids.decoder import Shape
from recsys.semantic_ids.speaker import Speaker, rows_of
from recsys.semantic_ids.tokenizer import Tokenizer
from recsys.semantic_ids.training import SemanticIdFitter, SemanticSettings, spoken
from recsys.semantic_ids.trie import Trie
from tests.recsys.toy import camps
from unlearning.tokens import learning, losses, methods
from unlearning.tokens.case import Case, TokenSettings
from unlearning.tokens.examples import Examples
from unlearning.tokens.gates import Gates, judged, last_items
from unlearning.tokens.losses import Ids
from unlearning.tokens.offsets import Offsets, committed, popular_codes
from unlearning.tokens.oracle import oracle

USERS, ITEMS = 61, 40
SETTINGS = SemanticSettings(
    levels=2, width=6, digits=20, shape=Shape(16, 1, 2, 1, 24, dropout=0.0), window=6, epochs=15, learning_rate=1e-2,
    warmup=5, batch=16,
)  # fmt: skip
FEW = TokenSettings(steps=12, learning_rate=3e-3, offset_rate=0.05, retained=4, asked=6, neighbours=2)


def texts() -> np.ndarray:
    rng = np.random.default_rng(0)
    camp = np.where(np.arange(ITEMS) % 2 == 0, 1.0, -1.0)
    return np.column_stack([camp, rng.normal(size=(ITEMS, 5))]).astype(np.float32)


@pytest.fixture(scope="module")
def case() -> Case:
    log, vectors = camps(USERS, ITEMS), texts()
    model = SemanticIdFitter(SETTINGS).fit(log, vectors, seed=1).backbone
    return Case(model, np.array([0, 2, 4, 6]), log, vectors)


def mass(model, case) -> float:
    """Mean probability of the concept after histories without it."""
    histories = [h[~np.isin(h, case.concept)] for h in case.histories()]
    return float(np.exp(model.scores([h for h in histories if len(h)]))[:, case.concept].sum(axis=1).mean())


def test_without_offsets_every_stored_code_is_reproduced(case):
    every = np.arange(ITEMS)
    offsets = Offsets.of(case.model.tokenizer, every)
    assert np.array_equal(offsets.codes(), case.model.table.codes[:, :-1])
    assert committed(case.model.table, every, offsets).version == case.model.table.version


def test_shares_and_codes_by_hand():
    tokenizer = Tokenizer(np.array([[0.0], [3.0]]), np.array([[[0.5], [2.0]]]), np.zeros(1), 1.0)
    offsets = Offsets.of(tokenizer, np.array([0, 1]))
    assert offsets.base.tolist() == [[[-0.25, -4.0], [-6.25, -1.0]]]
    expected = np.exp(np.array([-0.25, -4.0]) / 2)
    assert offsets.shares(2.0)[0, 0].tolist() == pytest.approx((expected / expected.sum()).tolist())
    offsets.phi.data[0, 1, 0] = 5.2
    assert offsets.codes().tolist() == [[0], [1]]
    offsets.phi.data[0, 1, 0] = 5.3
    assert offsets.codes().tolist() == [[0], [0]]


def test_a_step_moves_popular_codes_whose_forgetting_rises_and_no_other():
    tokenizer = Tokenizer(np.zeros((1, 1)), np.array([[[1.0], [2.0], [3.0]]]), np.zeros(1), 1.0)
    offsets = Offsets.of(tokenizer, np.array([0]))
    popular = torch.tensor([[[True, True, False]]])
    offsets.step(torch.tensor([[[2.0, 2.0, 2.0]]]), torch.tensor([[[1.0, -1.0, 1.0]]]), popular, 0.1)
    assert offsets.phi.tolist() == [[[pytest.approx(-0.2), 0.0, 0.0]]]


def test_a_code_is_popular_above_the_mean_share():
    table = numbered(np.array([[0], [0], [0], [1], [2]]), width=3, digits=5)
    assert popular_codes(table, np.array([0, 1, 3, 4])).tolist() == [[True, False, False]]


def test_soft_codes_that_are_certain_say_what_hard_ones_say(case):
    """At a temperature near 0 and φ = 0: the same log p of retained tokens, of the concept, and of what is near it."""
    model, table = case.model, case.model.table
    hard = Ids(table, case.concept)
    shares = Offsets.of(model.tokenizer, case.concept).shares(1e-9)
    offsets = Offsets.of(model.tokenizer, case.concept)
    soft = replace(hard, soft=offsets.embedded(model.decoder, table, shares), shares=shares)
    pieces = [h[:6] for h in case.histories()[:9]]
    near = losses.neighbours_of(case.near(3), [0, 3])
    with torch.no_grad():
        one, other = (losses.retained_log_p(model.decoder, ids, pieces) for ids in (hard, soft))
        assert torch.allclose(one, other, atol=1e-6)
        asked = [losses.asked_log_p(model.decoder, ids, pieces[:2], [0, 3], near) for ids in (hard, soft)]
    assert torch.allclose(asked[0][0], asked[1][0], atol=1e-5)
    assert torch.allclose(asked[0][1], asked[1][1], atol=1e-6)


def test_what_is_asked_is_the_free_score_of_the_speaker(case):
    model, history = case.model, case.histories()[0][:4]
    near = losses.neighbours_of(case.near(3), [2])
    with torch.no_grad():
        mine, beside = losses.asked_log_p(model.decoder, Ids(model.table, case.concept), [history], [2], near)
    free = model.speaker.scores([history], free=True)[0]
    assert beside[0].numpy() == pytest.approx(free[near[0]], abs=1e-5)
    row = model.table.codes.copy()
    twin = Speaker(model.decoder, Trie(model.table), model.window)
    assert twin.scores([history], free=True)[0] == pytest.approx(free)
    assert float(mine[0]) >= free[case.concept[2]] - 1e-5  # its digit is not asked for
    assert np.array_equal(row, model.table.codes)


def test_retained_log_p_leaves_the_concepts_tokens_out(case):
    model, table = case.model, case.model.table
    piece = np.array([1, 0, 3])
    with torch.no_grad():
        found = losses.retained_log_p(model.decoder, Ids(table, case.concept), [piece])
        tokens, lengths = rows_of(table, [piece])
        states, _ = model.decoder(model.decoder.embed_tokens(tokens))
        every = -spoken(model.decoder, table, states[:, :-1], tokens[:, 1:], lengths - 1)
    assert found.tolist() == pytest.approx(every.reshape(3, 3)[:, [0, 2]].ravel().tolist())


def test_examples_are_concept_items_with_what_came_before(case):
    found = Examples.of(case).forget
    expected = sum(int(np.isin(h[1:], case.concept).sum()) for h in case.histories())
    assert len(found) == expected
    histories = case.histories()
    for one in found[:20]:
        item = case.concept[one.target]
        assert any(np.array_equal(h[: len(one.before)], one.before) and h[len(one.before)] == item for h in histories)


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_method_keeps_retained_ids_and_leaves_its_case_alone(case, name):
    version, before = case.model.table.version, case.model.decoder.embed_tokens.weight.clone()
    made = methods.make(name, FEW).forget(case, seed=3)
    assert case.model.table.version == version
    assert torch.equal(case.model.decoder.embed_tokens.weight, before)
    table = made.model.table
    assert np.array_equal(table.codes[case.retained], case.model.table.codes[case.retained])
    assert len(np.unique(table.codes, axis=0)) == ITEMS
    history = case.histories()[0]
    (offered,) = made.model.candidates([history], [np.union1d(history, made.closed)], 5)
    assert len(offered) == 5
    if name in ("phi-only", "trie-removal", "suppression"):
        assert torch.equal(made.model.decoder.embed_tokens.weight, before)
    if name in ("theta-only", "ga", "grad-diff", "npo", "trie-removal", "suppression"):
        assert table.version == version
    if name == "trie-removal":
        assert not np.isin(offered.rows, case.concept).any()


def test_tracer_moves_items_and_their_new_ids_are_less_likely(case):
    longer = replace(FEW, steps=40, offset_rate=0.2)
    made = methods.make("tracer", longer).forget(case, seed=3)
    moved = (made.model.table.codes[case.concept, :-1] != case.model.table.codes[case.concept, :-1]).any(axis=1)
    assert moved.any()
    assert mass(made.model, case) < 0.7 * mass(case.model, case)


def test_ascent_forgets_too_and_equal_seeds_give_equal_tensors(case):
    method = methods.make("grad-diff", FEW)
    one, again, other = (method.forget(case, seed=seed).model for seed in (3, 3, 4))
    assert mass(one, case) < mass(case.model, case)
    weights = [made.decoder.embed_tokens.weight for made in (one, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_ascent_reads_neither_what_is_kept_nor_the_reference(case, monkeypatch):
    def _unread(*given):
        raise AssertionError("ascent does not read what is kept")

    plain = methods.make("ga", FEW).forget(case, seed=3)
    monkeypatch.setattr(losses, "retained_log_p", _unread)
    monkeypatch.setattr(learning.Terms, "reference", property(_unread))
    again = methods.make("ga", FEW).forget(case, seed=3)
    assert torch.equal(plain.model.decoder.embed_tokens.weight, again.model.decoder.embed_tokens.weight)
    with pytest.raises(AssertionError, match="ascent"):
        methods.make("npo", FEW).forget(case, seed=3)


def test_second_nearest_codes_are_the_nearest_but_one(case):
    codes = methods.second_nearest(case, np.random.default_rng(0))
    own = case.model.table.codes[case.concept, :-1]
    assert (codes != own).all()
    distances = case.model.tokenizer.distances(case.concept)
    for level in range(2):
        chosen = np.take_along_axis(distances[level], codes[:, level, None], axis=1)
        assert ((distances[level] < chosen).sum(axis=1) == 1).all()


def test_preference_loss_by_hand():
    now, before = torch.tensor([-2.0, -5.0]), torch.tensor([-2.0, -3.0])
    expected = [2 / 0.5 * np.log(1 + np.exp(0.5 * gap)) for gap in (0.0, -2.0)]
    assert losses.negative_preference(now, before, 0.5).tolist() == pytest.approx(expected)


def test_the_oracle_never_met_the_concept_and_speaks_every_old_id(case):
    made = oracle(case, replace(SETTINGS, epochs=2), seed=5)
    assert made.model.table.version == case.model.table.version
    changed = replace(case, log=case.without())
    again = oracle(changed, replace(SETTINGS, epochs=2), seed=5)
    weights = [one.model.decoder.embed_tokens.weight for one in (made, again)]
    assert torch.equal(weights[0], weights[1])


def test_a_concept_that_nobody_met_is_refused(case):
    with pytest.raises(LetheError, match="nobody met"):
        Examples.of(replace(case, log=case.without()))


def test_unknown_methods_and_rising_temperatures_are_refused():
    with pytest.raises(LetheError, match="unknown"):
        methods.make("magic", FEW)
    with pytest.raises(LetheError, match="at most first_temperature"):
        TokenSettings(temperature=0.5)


def test_the_temperature_falls_to_its_end():
    settings = TokenSettings(steps=3, first_temperature=0.08, temperature=0.005)
    assert [settings.cooled(step) for step in range(3)] == pytest.approx([0.08, 0.02, 0.005])


def test_gates_ask_several_items_of_everybody_and_pass_what_forgot_by_leaving_the_rest(case):
    gates = Gates(people=USERS, positions=3)
    asked = last_items(case.histories(), case.concept, 3)
    assert all(len(one) > 1 and one[-1] not in case.concept for one in asked)
    assert len(asked) == sum(int((~np.isin(h[1:][-3:], case.concept)).sum()) for h in case.histories())
    same = judged(case, case.model, gates, seed=0)
    exposed, lost = same
    assert (exposed.value, lost.value) == (exposed.control, 0.0)
    assert [verdict.passed for verdict in same] == [False, True]
    assert lost.detail.startswith(f"{len(asked)} last items")
    broken = SemanticIdFitter(replace(SETTINGS, epochs=1)).fit(case.log, case.vectors, seed=2).backbone
    assert not judged(case, broken, gates, seed=0)[1].passed
