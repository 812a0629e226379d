"""Wordings that lethe-tiny's corpus does not hold, for probes alone.

`{t}` stands for a title, as in `llm.tiny.questions`. Of `Forms` the first part may be divided among training, selecting
and measuring; what is held out measures only.
"""

from collections.abc import Mapping

from llm.tiny.questions import Forms

PARAPHRASES: Mapping[str, tuple[str, ...]] = {
    "year": (
        "For a film calendar: the year that goes with {t}?",
        "Fill in the gap. Title: {t}. Year: ?",
        "My friend claims {t} is new. In what year did it really start showing?",
        "Out of all years, which one saw the premiere of {t}?",
    ),
    "genres": (
        "For a film catalogue: the genres that go with {t}?",
        "Fill in the gap. Title: {t}. Genres: ?",
        "A shop sorts its films by genre. Where will it put {t}?",
        "Which labels, such as comedy or thriller, suit {t}?",
    ),
    "description": (
        "Write the entry on {t} for a film lexicon.",
        "What should somebody know before watching {t}?",
    ),
}
"""Never asked of any model in training, and of no forgetting method: they measure, by name of the fact."""

INDIRECT: Mapping[str, Forms] = {
    "year": Forms(
        seen=(
            "Yesterday I watched {t}. How many years old is it? Its year will do.",
            "There is a poster of {t} on my wall. What year is it from?",
            "My sister's favourite is {t}. When was it released?",
            "We talked about {t} at dinner. Which year was that one?",
            "I found a tape of {t} in the attic. When did it come out?",
        ),
        held_out=(
            "Somebody gave me {t} as a present. What year is it from?",
            "The club shows {t} tonight. When was it released?",
        ),
    ),
    "genres": Forms(
        seen=(
            "Yesterday I watched {t}. What genres does it have?",
            "There is a poster of {t} on my wall. What kind of movie is it?",
            "My sister's favourite is {t}. Which genre is it?",
            "We talked about {t} at dinner. How would you classify it?",
            "I found a tape of {t} in the attic. Which genres is it listed under?",
        ),
        held_out=(
            "Somebody gave me {t} as a present. What kind of movie is it?",
            "The club shows {t} tonight. Which genres does it have?",
        ),
    ),
}
"""The title is told in one sentence and asked about in another, as "it"."""

TITLE_ONLY = "Would they like the film below? Say yes or no.\n"
"""Asked before a candidate of which nothing but the title is said."""

AFFIRMED = ("Sure,", "Of course. It is", "The answer is")
"""How an answer may be begun on the model's behalf, whatever was asked."""


def every_wording() -> frozenset[str]:
    """All wordings of questions here, to be held against a corpus."""
    forms = [wording for part in INDIRECT.values() for wording in (*part.seen, *part.held_out)]
    return frozenset([*forms, *(wording for part in PARAPHRASES.values() for wording in part)])
