"""From a name to items: by hand-worked cases on a small catalogue."""

import numpy as np
import pytest

from db.errors import LetheError
from db.records import Item, ItemId
from db.store import Store
from pipelines.concepts import near
from pipelines.concepts.resolve import resolve
from pipelines.training.read import text_index
from retrieval.embeddings import TextEncoder
from tests.pipelines.evaluations import no_bars


def item(key, title, year=1990, *genres):
    return Item(ItemId(key), title, year, genres)


CATALOGUE = (
    item("1", "Star Trek: Generations", 1994, "Sci-Fi"),
    item("2", "Star Trek VI: The Undiscovered Country", 1991, "Sci-Fi"),
    item("3", "Star Wars", 1977, "Sci-Fi", "War"),
    item("4", "The Maltese Falcon", 1941, "Film-Noir"),
    item("5", "The Big Sleep", 1946, "Film-Noir"),
    item("6", "Batman", 1989, "Action"),
    item("7", "Batman & Robin", 1997, "Action"),
    item("8", "The Postman (Il Postino)", 1994, "Drama"),
    item("9", "Sabrina", 1954, "Comedy"),
    item("10", "Sabrina", 1995, "Comedy"),
    item("11", "Schindler's List", 1993, "War"),
    item("12", "The Wrong Trousers", 1993, "Animation"),
    item("13", "War", 1990, "Drama"),
)


def nothing(_phrase):
    return []


@pytest.mark.parametrize(
    ("name", "kind", "ids"),
    [
        ("Star Trek", "franchise", "1 2"),
        ("star wars", "title", "3"),
        ("Maltese Falcon, The", "title", "4"),
        ("maltese falcon", "title", "4"),
        ("film noir", "genre", "4 5"),
        ("Schindlers list", "title", "11"),
        ("Sabrina", "title", "9 10"),
        ("Sabrina (1995)", "title", "10"),
        ("wrong trousers", "title", "12"),
        ("Trousers", "title", "12"),
        ("Postman", "title", "8"),
    ],
)
def test_metadata_says_what_a_name_stands_for(name, kind, ids):
    found = resolve(name, CATALOGUE, nothing)
    assert (found.kind, [one.id for one in found.items]) == (kind, ids.split())


def test_others_of_the_same_title_are_told_apart_from_what_is_meant():
    assert [one.id for one in resolve("Sabrina (1995)", CATALOGUE, nothing).namesakes] == ["9"]
    assert resolve("Sabrina", CATALOGUE, nothing).namesakes == ()
    assert [one.id for one in resolve("mine", CATALOGUE, nothing, ids=[ItemId("9")]).namesakes] == ["10"]


def test_ids_are_taken_as_they_are_and_the_name_is_a_label():
    found = resolve("my childhood", CATALOGUE, nothing, ids=[ItemId("9"), ItemId("3"), ItemId("9")])
    assert (found.name, found.kind, [one.id for one in found.items]) == ("my childhood", "items", ["9", "3"])


def test_a_kind_decides_between_readings():
    readings = {kind: resolve("Batman", CATALOGUE, nothing, kind=kind) for kind in ("title", "franchise")}
    assert {kind: len(found.items) for kind, found in readings.items()} == {"title": 1, "franchise": 2}
    assert [one.id for one in resolve("War", CATALOGUE, nothing, kind="genre").items] == ["3", "11"]


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("Batman", {}, "--kind title or --kind franchise"),
        ("War", {}, "--kind title or --kind genre"),
        ("Casablanca", {}, "nothing is called 'Casablanca'"),
        ("Batman", {"kind": "genre"}, "no genre is called 'Batman'"),
        ("Batman", {"kind": "director"}, "--kind director is unknown"),
        ("x", {"ids": ["77"]}, "there is no item 77"),
        ("!?", {}, "names nothing"),
        ("x" * 201, {}, "give at most 200"),
        ("two\nlines", {}, "printable"),
    ],
)
def test_what_is_ambiguous_or_not_there_is_told_in_one_line_with_the_remedy(name, options, told):
    with pytest.raises(LetheError, match=told) as error:
        resolve(name, CATALOGUE, nothing, **options)
    assert "\n" not in str(error.value)


def test_a_phrase_is_asked_of_the_encoder_alone_where_metadata_is_silent():
    asked = []

    def neighbours(phrase):
        asked.append(phrase)
        return [(CATALOGUE[3], 0.61234), (CATALOGUE[4], 0.5)]

    assert resolve("Star Trek", CATALOGUE, neighbours).kind == "franchise"
    found = resolve("private eyes", CATALOGUE, neighbours)
    assert (found.kind, found.likeness, [one.id for one in found.items]) == ("phrase", (0.612, 0.5), ["4", "5"])
    assert resolve("Batman", CATALOGUE, neighbours, kind="phrase").kind == "phrase"
    assert asked == ["private eyes", "Batman"]


class Encoder:
    """Stands for a sentence encoder: each text's vector is told."""

    def __init__(self, texts):
        self.texts = texts

    def encode(self, asked, **_options):
        return np.array([self.texts[text] for text in asked], dtype=np.float32)

    @staticmethod
    def get_embedding_dimension():
        return 2


def test_neighbours_come_near_enough_to_the_phrase_and_to_the_best(monkeypatch):
    """Cosines to the phrase worked by hand: 0.8, 0.7, 0.6 and 0; the bound is 0.8 x 0.8 = 0.64."""
    texts = {"a phrase": (1.0, 0.0), "A.": (0.8, 0.6), "B.": (0.7, 0.714), "C.": (0.6, 0.8), "D.": (0.0, 1.0)}
    monkeypatch.setattr(TextEncoder, "load", lambda: TextEncoder(Encoder(texts)))
    items = [item(name, name, None) for name in "DCBA"]
    found = near.near(None, items, "a phrase")
    assert [(one.id, round(like, 3)) for one, like in found] == [("A", 0.8), ("B", 0.7)]
    texts["a phrase"] = (0.0, -1.0)
    assert near.near(None, items, "a phrase") == []


def test_vectors_of_texts_are_the_index_s_where_it_holds_every_item_else_made_anew(tmp_path, monkeypatch):
    """Centred by hand: A and B lie one on each side of their mean; a third item changes all three."""
    texts = {"A.": (1.0, 0.0), "B.": (0.0, 1.0), "C.": (0.5, 0.5)}
    monkeypatch.setattr(TextEncoder, "load", lambda: TextEncoder(Encoder(texts)))
    store, items = Store.open(tmp_path, create=True), [item(name, name, None) for name in "AB"]
    text_index(store, items, no_bars)
    monkeypatch.setattr(TextEncoder, "load", lambda: pytest.fail("the index has it all"))
    found = near.text_vectors(store, items)
    assert np.allclose(found["A"], np.array([1, -1]) / np.sqrt(2))
    assert np.allclose(found["A"], -found["B"])
    monkeypatch.setattr(TextEncoder, "load", lambda: TextEncoder(Encoder(texts)))
    anew = near.text_vectors(store, [*items, item("C", "C", None)])
    assert set(anew) == {"A", "B", "C"}
    assert np.allclose(anew["A"], found["A"])
    assert np.allclose(anew["C"], 0)
