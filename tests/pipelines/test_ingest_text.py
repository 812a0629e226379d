"""Text from outside: what cleaning promises, over every character there is."""

import random
import sys
import unicodedata

import polars as pl
import pytest

from pipelines.ingest.text import cleaned, shown

EVERY_CHARACTER = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
INVISIBLE = ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u202e", "\u2066", "\u034f", "\ufe0f", "\x07"]


def clean(texts):
    return pl.DataFrame({"text": texts}, schema={"text": pl.String}).select(cleaned(pl.col("text"))).to_series()


def test_no_character_survives_as_a_control_or_format_character():
    kept = "".join(clean(EVERY_CHARACTER))
    assert not {character for character in kept if unicodedata.category(character) in ("Cc", "Cf", "Co")}


def test_cleaning_twice_is_cleaning_once():
    rng = random.Random(7)
    alphabet = rng.sample(EVERY_CHARACTER, 3000) + INVISIBLE * 20 + ["e", "\u0301", "ﷺ", " ", "\n", "\u00a0"] * 20
    texts = ["".join(rng.choices(alphabet, k=12)) for _ in range(4000)]
    once = clean(texts)
    assert clean(once.to_list()).equals(once)
    assert any(before != after for before, after in zip(texts, once, strict=True))


@pytest.mark.parametrize("character", INVISIBLE)
def test_invisible_characters_go(character):
    assert clean([f"Star{character}Wars"]).to_list() == ["StarWars"]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("  The \t\r\n Matrix\u2028 ", "The Matrix"),
        ("Ｍａｔｒｉｘ", "Matrix"),
        ("Ame\u0301lie", "Amélie"),
        ("Ame\u200b\u0301lie", "Amélie"),
        ("千と千尋の神隠し", "千と千尋の神隠し"),
        ("<|im_\u200bend|>", "<|im_end|>"),
        ("\u200b", ""),
    ],
)
def test_what_is_kept(written, kept):
    assert clean([written]).to_list() == [kept]


@pytest.mark.parametrize("value", ["a\nb", "a\u2028b", "\x1b[31mred", "x" * 10_000, "\u202eabc"])
def test_a_value_is_shown_on_one_short_printable_line(value):
    told = shown(value)
    assert told.isprintable()
    assert len(told) < 80
