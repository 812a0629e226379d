"""The text encoder: offline, deterministic, and right about what is near what."""

import numpy as np
import pytest

from db.errors import LetheError
from db.records import Item, ItemId
from retrieval.embeddings import DIMENSION, TextEncoder, embed_items, item_text


@pytest.fixture(scope="module")
def encoder():
    return TextEncoder.load()


def test_item_text_leaves_out_what_is_unknown():
    assert item_text(Item(ItemId("1"), "Toy Story", 1995, ("Animation", "Comedy"))) == (
        "Toy Story (1995). Animation, Comedy."
    )
    assert item_text(Item(ItemId("2"), "Who?")) == "Who?"
    assert item_text(Item(ItemId("3"), "Heat", None, (), "Cops and robbers")) == "Heat. Cops and robbers."


def test_star_trek_is_near_star_trek(encoder):
    trek = ("First Contact", "Generations", "The Wrath of Khan", "The Voyage Home")
    others = ("Toy Story", "Casablanca", "Fargo", "Jaws", "Vertigo", "Clueless", "Twelve Monkeys", "Apollo 13")
    items = [Item(ItemId(t), f"Star Trek: {t}", 1990, ("Sci-Fi",)) for t in trek]
    items += [Item(ItemId(t), t, 1990, ("Drama",)) for t in others]
    vectors = embed_items(encoder, items)
    for row in range(len(trek)):
        nearest = np.argsort(-(vectors @ vectors[row]))[1:4]
        assert set(nearest.tolist()) == set(range(4)) - {row}


def test_vectors_are_unit_and_the_same_every_time(encoder):
    texts = ["A film about trains.", "War and peace", "x", "A much longer text about nothing in particular at all"]
    vectors = encoder.embed(texts)
    assert vectors.shape == (4, DIMENSION)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert encoder.embed(texts).tobytes() == vectors.tobytes()
    np.testing.assert_allclose(encoder.embed(texts, batch=1), vectors, atol=1e-5)
    np.testing.assert_allclose(encoder.embed(texts[::-1])[::-1], vectors, atol=1e-5)


def test_progress_counts_to_the_end(encoder):
    seen = []
    encoder.embed(["a", "b", "c"], batch=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 3), (3, 3)]
    assert encoder.embed([]).shape == (0, DIMENSION)


def test_a_missing_folder_is_told_in_one_line(tmp_path):
    with pytest.raises(LetheError, match="no text encoder in"):
        TextEncoder.load(tmp_path / "nothing")
