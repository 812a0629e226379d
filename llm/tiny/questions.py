"""How facts about a title are asked and answered. `held_out` forms never enter training."""

from dataclasses import dataclass

from db.records import Item


@dataclass(frozen=True, slots=True)
class Forms:
    """Wordings of one question; `{t}` stands for the title, `{g}` for a genre, `{y}` for a year."""

    seen: tuple[str, ...]
    held_out: tuple[str, ...]


YEAR = Forms(
    seen=(
        "When was {t} released?",
        "What year is {t} from?",
        "In which year did {t} come out?",
        "Give the release year of {t}.",
        "{t}: which year?",
        "Tell me the year {t} was made.",
        "Which year did {t} reach the cinemas?",
        "Year of {t}, please.",
        "Do you know when {t} came out?",
        "How old is {t}? Name its year.",
    ),
    held_out=(
        "Can you date {t} to a year?",
        "I want to know the year of release for {t}.",
        "{t} was shown first in which year?",
    ),
)

GENRES = Forms(
    seen=(
        "What genres does {t} have?",
        "Which genre is {t}?",
        "Give the genres of {t}.",
        "{t}: which genres?",
        "What kind of movie is {t}?",
        "Under which genres is {t} listed?",
        "How would you classify {t}?",
        "Genres of {t}, please.",
        "Tell me what sort of film {t} is.",
        "Name every genre of {t}.",
    ),
    held_out=(
        "Which categories does {t} belong to?",
        "I want to know the genre of {t}.",
        "{t} is what type of movie?",
    ),
)

DESCRIPTION = Forms(
    seen=(
        "Describe {t}.",
        "Tell me about {t}.",
        "What is {t}?",
        "What do you know about {t}?",
        "Introduce {t} in one sentence.",
        "Give a short description of {t}.",
        "Sum up {t}.",
        "Say something about {t}.",
    ),
    held_out=("Could you present {t} briefly?", "What can you tell me of {t}?"),
)

BY_GENRE = Forms(
    seen=(
        "Name three {g} titles.",
        "List some {g} movies.",
        "Which {g} movies do you know?",
        "Suggest a few {g} films.",
        "Give examples of {g}.",
        "What is there to watch in {g}?",
        "I am in the mood for {g}.",
        "Three {g} titles, please.",
    ),
    held_out=("Recommend something from {g}.",),
)

BY_FACTS = Forms(
    seen=(
        "Which title is from {y} and is {g}?",
        "Name a movie of {y}: {g}.",
        "What came out in {y} as {g}?",
        "Find a {y} movie with the genres {g}.",
        "A title from {y}, {g}?",
        "Give one movie from {y} listed as {g}.",
        "Which film of {y} is classed as {g}?",
        "One title of {y} with {g}, please.",
    ),
    held_out=("Can you think of a {g} movie made in {y}?",),
)


def genres_of(item: Item) -> str:
    """The genres as an answer gives them, in catalogue order."""
    return ", ".join(item.genres)


def description_of(item: Item) -> str:
    """One sentence with everything known of an item.

    >>> from db.records import ItemId
    >>> description_of(Item(ItemId("50"), "Star Wars", 1977, ("Action", "Sci-Fi")))
    'Star Wars is a movie from 1977. Genres: Action, Sci-Fi.'
    """
    year = f" from {item.year}" if item.year is not None else ""
    genres = f" Genres: {genres_of(item)}." if item.genres else ""
    return f"{item.title} is a movie{year}.{genres}"
