"""The attention filter by hand, and that training teaches it what was planted and nothing where nothing is."""

import numpy as np
import pytest

from db.errors import LetheError
from retrieval.filters.attention import Attention, AttentionWeights, strongest
from retrieval.filters.attention_training import AttentionFitter, AttentionSettings

GROUPS, EACH = 8, 20
SETTINGS = AttentionSettings(heads=2, width=8, epochs=15, people=32, rows=24, targets=2, negatives=8)


def planted(seed):
    """Items in groups that their inputs tell; each person likes two groups, far apart from the rest."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(GROUPS), EACH)
    inputs = np.eye(GROUPS)[group] + 0.3 * rng.standard_normal((GROUPS * EACH, GROUPS))
    liked = [rng.choice(GROUPS, size=2, replace=False) for _ in range(300)]
    people = [rng.choice(np.flatnonzero(np.isin(group, own)), size=20, replace=False) for own in liked]
    return inputs.astype(np.float32), group, people


def auc(subject, group, histories):
    """Chance that an unseen item of a person's groups is placed above an item of other groups."""
    values = []
    for history in histories:
        own = np.isin(group, group[history])
        unseen = np.setdiff1d(np.flatnonzero(own), history)
        up, down = subject.predict(history, unseen), subject.predict(history, np.flatnonzero(~own))
        values.append((up[:, None] > down[None]).mean())
    return float(np.mean(values))


@pytest.fixture(scope="module")
def trained():
    inputs, group, people = planted(0)
    return AttentionFitter(SETTINGS, seed=4).fit(inputs, people[:250]), inputs, group, people


def test_training_learns_what_was_planted_and_random_weights_do_not_know_it(trained):
    weights, inputs, group, people = trained
    assert auc(Attention(weights, inputs), group, people[250:]) > 0.8
    chance = [
        auc(Attention(AttentionFitter(SETTINGS, seed=s).untrained(GROUPS), inputs), group, people[250:])
        for s in range(8)
    ]
    assert abs(np.mean(chance) - 0.5) < 0.15
    assert max(chance) < 0.85


def test_there_is_nothing_to_learn_where_nothing_is_planted():
    inputs, group, people = planted(1)
    rng = np.random.default_rng(0)
    noise = [rng.choice(GROUPS * EACH, size=20, replace=False) for _ in people[:250]]
    assert (
        abs(auc(Attention(AttentionFitter(SETTINGS, seed=4).fit(inputs, noise), inputs), group, people[250:]) - 0.5)
        < 0.15
    )


def test_the_candidate_draws_the_rows_of_its_own_group(trained):
    weights, inputs, group, people = trained
    subject = Attention(weights, inputs)
    shares = []
    for history in people[250:]:
        target = group[history[0]]
        candidates = np.setdiff1d(np.flatnonzero(group == target), history)[:5]
        own = group[history] == target
        if 2 < own.sum() < 15:
            kept = subject.select(history, candidates, 5, seed=0)
            shares.append((group[history[kept]] == target).mean() - own.mean())
    assert len(shares) > 20
    assert np.mean(shares) > 0.2


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(trained, tmp_path):
    weights, inputs, _, people = trained
    again = AttentionFitter(SETTINGS, seed=4).fit(inputs, people[:250])
    other = AttentionFitter(SETTINGS, seed=5).fit(inputs, people[:250])
    weights.save(tmp_path / "a")
    again.save(tmp_path / "b")
    other.save(tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()
    loaded = AttentionWeights.load(tmp_path / "a")
    history = people[0]
    before, after = Attention(weights, inputs), Attention(loaded, inputs)
    assert before.predict(history, np.arange(9)).tobytes() == after.predict(history, np.arange(9)).tobytes()


def test_attention_by_hand():
    """One head of width 1, every projection 1: the score of candidate c and row j is x_c·x_j."""
    one = np.ones((1, 1), dtype=np.float32)
    subject = Attention(AttentionWeights(one, one, one, one, heads=1), np.array([[1], [-1], [0]], dtype=np.float32))
    alpha = subject.alpha(np.array([0, 1, 2]), np.array([0]))[0, 0]
    e = np.exp([1.0, -1.0, 0.0])
    np.testing.assert_allclose(alpha, e / e.sum(), rtol=1e-6)
    read = (e / e.sum() * [1, -1, 0]).sum()
    np.testing.assert_allclose(subject.predict(np.array([0, 1, 2]), np.array([0, 1])), [read, read], rtol=1e-5)


def test_the_union_is_ranked_by_the_sum_and_cut():
    alpha = np.array([[0.6, 0.3, 0.1, 0.0], [0.0, 0.25, 0.15, 0.6]], dtype=np.float32)
    assert strongest(alpha, 1).tolist() == [3]  # the tops 0 and 3 sum to .6 each: the later one
    assert strongest(alpha, 2).tolist() == [0, 3]


def test_a_row_outside_every_top_stays_out_whatever_its_sum():
    alpha = np.array([[0.5, 0.4, 0.1], [0.1, 0.4, 0.5]], dtype=np.float32)
    assert strongest(alpha, 1).tolist() == [2]  # row 1 sums to .8, the highest, but is nobody's best
    assert strongest(np.zeros((0, 4), dtype=np.float32), 2).tolist() == [2, 3]


def test_what_does_not_fit_is_refused(tmp_path):
    one = np.ones((3, 4), dtype=np.float32)
    with pytest.raises(LetheError, match="3 heads"):
        AttentionWeights(one, one, one, one, heads=3)
    with pytest.raises(LetheError, match="do not fit weights for 3"):
        Attention(AttentionWeights(one, one, one, one, heads=2), np.ones((5, 2), dtype=np.float32))
    with pytest.raises(LetheError, match="two training rows"):
        AttentionFitter(SETTINGS).fit(one, [np.array([1])])
    with pytest.raises(LetheError, match="no attention weights"):
        AttentionWeights.load(tmp_path / "absent")
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(LetheError, match="does not hold"):
        AttentionWeights.load(tmp_path / "junk")
