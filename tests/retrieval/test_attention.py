"""The attention filter by hand, and that training teaches it what was planted and nothing where nothing is."""

from dataclasses import replace

import numpy as np
import pytest

from db.errors import LetheError
from retrieval.filters.attention import Attention, AttentionWeights, strongest
from retrieval.filters.attention_training import AttentionFitter, AttentionSettings

GROUPS, NOISE, EACH = 6, 6, 10
SETTINGS = AttentionSettings(
    heads=2, width=8, epochs=20, people=64, targets=3, negatives=16, rows=8, sharpness=2.0, rate=1e-2, decay=0.1
)
START = replace(SETTINGS, epochs=0)
GROUP = np.repeat(np.arange(GROUPS + NOISE), EACH)


def rows_of(group):
    return np.flatnonzero(group == GROUP)


def planted(seed, count=900):
    """Items in groups that their inputs tell. Who met a group meets the next one (which inputs do not tell), and
    four rows of noise besides."""
    rng = np.random.default_rng(seed)
    inputs = np.eye(GROUPS + NOISE)[GROUP] + 0.1 * rng.standard_normal((len(GROUP), GROUPS + NOISE))
    noise = np.flatnonzero(GROUP >= GROUPS)
    people = [
        np.array([rng.choice(rows_of(g)), rng.choice(rows_of((g + 1) % GROUPS)), *rng.choice(noise, 4, replace=False)])
        for g in rng.integers(GROUPS, size=count)
    ]
    return inputs.astype(np.float32), people


def questions(people):
    """(history without the row of the next group, that row's group, where the telling row is)."""
    for own in people:
        yield np.roll(np.delete(own, 1), 2), GROUP[own[1]], 2


def auc(subject, people):
    """Chance that an item of the next group is placed above one of the groups that have no part in it."""
    values = []
    for history, following, telling in questions(people):
        near = [following, GROUP[history[telling]], (GROUP[history[telling]] - 1) % GROUPS, (following + 1) % GROUPS]
        up = subject.predict(history, rows_of(following))
        down = subject.predict(history, np.flatnonzero((GROUP < GROUPS) & ~np.isin(GROUP, near)))
        values.append((up[:, None] > down[None]).mean())
    return float(np.mean(values))


def found(subject, people):
    """How often the one row kept for candidates of the next group is the one that tells."""
    return float(np.mean([subject.select(h, rows_of(g), 1, seed=0)[0] == place for h, g, place in questions(people)]))


@pytest.fixture(scope="module")
def trained():
    inputs, people = planted(0)
    return AttentionFitter(SETTINGS, seed=4).fit(inputs, people[:800]), inputs, people


def test_training_learns_what_was_planted_and_its_start_does_not_know_it(trained):
    weights, inputs, people = trained
    subject = Attention(weights, inputs)
    starts = [Attention(AttentionFitter(START, seed=s).fit(inputs, people), inputs) for s in range(5)]
    assert abs(np.mean([auc(start, people[800:]) for start in starts]) - 0.5) < 0.1
    assert auc(subject, people[800:]) > 0.9
    assert np.mean([found(start, people[800:]) for start in starts]) < 0.4
    assert found(subject, people[800:]) > 0.5


def test_nothing_is_learned_where_nothing_is_planted():
    inputs, people = planted(1)
    rng = np.random.default_rng(0)
    noise = [rng.choice(len(GROUP), size=6, replace=False) for _ in people]
    subject = Attention(AttentionFitter(SETTINGS, seed=4).fit(inputs, noise), inputs)
    assert abs(auc(subject, people[800:]) - 0.5) < 0.15


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path):
    inputs, people = planted(2)
    short = replace(SETTINGS, epochs=2)
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        AttentionFitter(short, seed=seed).fit(inputs, people[:200]).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_weights_survive_a_round_trip(trained, tmp_path):
    weights, inputs, people = trained
    weights.save(tmp_path / "a")
    before, after = Attention(weights, inputs), Attention(AttentionWeights.load(tmp_path / "a"), inputs)
    history, candidates = people[0], np.arange(9)
    assert before.predict(history, candidates).tobytes() == after.predict(history, candidates).tobytes()


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
