import numpy as np
import pytest

from db.errors import LetheError
from unlearning.concept.mask import Mask, Shape, from_pairs, whole
from unlearning.concept.scoring import contrast, fisher_ratio, highest, random_neurons, rank_correlation, redrawn
from unlearning.concept.settings import ConceptSettings

SHAPE = Shape(layers=3, width=20, heads=2)


def test_contrast_is_high_where_the_concept_is_and_the_controls_are_not():
    forget = np.array([[5.0, 1.0, 5.0, 1.0]])
    retain = np.array([[5.0, 1.0, 1.0, 1.0]])
    scores = contrast(forget, retain, beta=1.0)
    assert scores.argmax() == 2
    assert contrast(forget, retain, beta=0.0)[0].tolist() == [1, -1, 1, -1]
    assert contrast(forget, np.ones((1, 4)), beta=1.0)[0].tolist() == [1, -1, 1, -1]


def test_the_fisher_ratio_does_not_put_dead_neurons_first():
    ratio = fisher_ratio(np.array([[1e-9, 2.0, 3.0]]), np.array([[0.0, 1.0, 3.0]]))
    assert ratio.argmax() == 1
    assert np.isfinite(fisher_ratio(np.zeros((1, 2)), np.zeros((1, 2)))).all()


def test_no_layer_holds_more_than_the_cap_and_too_tight_a_cap_is_refused():
    scores = np.arange(60.0).reshape(3, 20)
    chosen = highest(scores, 9, 0.5)
    counts = np.bincount([layer for layer, _ in chosen], minlength=3)
    assert counts.tolist() == [0, 4, 5]
    assert {place for layer, place in chosen if layer == 2} == {15, 16, 17, 18, 19}
    assert highest(scores, 0, 0.5) == []
    with pytest.raises(LetheError, match=r"cap of 0\.1"):
        highest(scores, 9, 0.1)
    with pytest.raises(LetheError, match="70 places of 60"):
        highest(scores, 70, 1.0)


def test_random_masks_are_of_the_size_asked_for_and_of_their_seed():
    first, again, other = (random_neurons(SHAPE, 15, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert first.size == other.size == 15
    with pytest.raises(LetheError, match="61 neurons of 60"):
        random_neurons(SHAPE, 61, seed=0)


def test_a_redrawn_mask_has_as_many_neurons_in_every_layer():
    mask = from_pairs(SHAPE, [(0, 1), (2, 3), (2, 4), (2, 19)], "guided")
    drawn = redrawn(mask, seed=0)
    assert [len(layer) for layer in drawn.neurons] == [1, 0, 3]
    assert (drawn.origin, drawn.shape) == ("layered", SHAPE)


def test_jaccard_and_digest_look_at_the_places_alone():
    first, second = (from_pairs(SHAPE, [(0, 1), (1, 1), (1, 2)], origin) for origin in ("guided", "random"))
    assert first.jaccard(second) == 1
    assert first.digest == second.digest
    assert first.jaccard(from_pairs(SHAPE, [(1, 1), (2, 1)], "random")) == pytest.approx(1 / 4)
    assert whole(SHAPE).size == 60


@pytest.mark.parametrize(
    ("neurons", "heads"),
    [
        (((0,), ()), ((), (), ())),
        (((20,), (), ()), ((), (), ())),
        (((1, 0), (), ()), ((), (), ())),
        (((-1,), (), ()), ((), (), ())),
        (((), (), ()), ((2,), (), ())),
    ],
)
def test_a_mask_of_another_shape_or_order_is_refused(neurons, heads):
    with pytest.raises(LetheError, match=r"neurons|heads"):
        Mask(SHAPE, neurons, heads, "random")


def test_rank_correlation_is_spearmans():
    first = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert rank_correlation(first, first**3) == pytest.approx(1)
    assert rank_correlation(first, -first) == pytest.approx(-1)


@pytest.mark.parametrize("change", [{"neurons": 0}, {"rank": 0}, {"cap": 0.0}, {"cap": 1.5}, {"steps": 0}])
def test_settings_out_of_range_are_refused_by_name(change):
    with pytest.raises(LetheError, match=next(iter(change))):
        ConceptSettings(**change)
