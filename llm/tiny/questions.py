"""How facts about a title are asked and answered. `held_out` wordings never enter training."""

from dataclasses import dataclass

from db.records import Item


@dataclass(frozen=True, slots=True)
class Forms:
    """Wordings of one question; `{t}` stands for the title, `{g}` for a genre or genres, `{y}` for a year."""

    seen: tuple[str, ...]
    held_out: tuple[str, ...]
    asked_for: tuple[str, ...] = ()
    """What is asked for, as the object of a request; its requests are seen wordings too."""


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
        "What is the release date of {t}? The year is enough.",
        "{t} came out in which year?",
        "When did {t} first appear?",
        "When was {t} shown in theatres for the first time?",
        "Put a date on {t}.",
        "I need the year of {t}.",
        "For {t}, what is the year?",
        "Name the year in which {t} premiered.",
        "{t} is from what year?",
        "I forgot when {t} was made.",
        "Can you say what year {t} belongs to?",
        "Would you look up the year of {t}?",
        "State when {t} was produced.",
        "I am looking for the year of {t}: what is it?",
        "Since when has {t} been around?",
        "When did people first see {t} on the screen?",
        "{t}, which year?",
        "{t} came out when?",
        "{t}: released when?",
        "{t}, please: the year.",
    ),
    held_out=(
        "Can you date {t} to a year?",
        "I want to know the year of release for {t}.",
        "{t} was shown first in which year?",
        "What is the production year of {t}?",
        "Remind me of the year that {t} appeared.",
        "From which year does {t} date?",
        "If you had to put a year on {t}, which would it be?",
        "Which was the year when {t} hit the cinemas?",
    ),
    asked_for=(
        *("the year of {t}", "the release year of {t}", "the year {t} came out", "the year in which {t} was released"),
        *("when {t} was made", "what year {t} is from", "which year {t} belongs to", "when {t} was shown first"),
        *("the date of {t}", "the year {t} is dated to", "when {t} reached the screens", "in which year {t} appeared"),
        *("when {t} hit the theatres", "the year of production of {t}", "the year for {t}", "how old {t} is"),
        *("{t} and its year", "the year of the release of {t}", "the year to put on {t}", "{t}, I mean its year"),
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
        "What category is {t} in?",
        "{t} has which genres?",
        "What type of film is {t}?",
        "List the categories of {t}.",
        "I need the genres of {t}.",
        "For {t}, what are the genres?",
        "Is {t} a drama, a comedy or something else?",
        "I forgot what kind of film {t} is.",
        "Can you say which genres {t} belongs to?",
        "Would you look up the genres of {t}?",
        "State the type of {t}.",
        "On which shelf do I find {t}? Give the genres.",
        "I am looking for the genre of {t}: what is it?",
        "How is {t} classified?",
        "{t} is filed under what genres?",
        "What style of movie should I expect from {t}?",
        "{t}, which genres?",
        "{t}: what kind of movie?",
        "{t} counts as which genre?",
        "{t}, please: the genres.",
        "What categories is {t} sorted into?",
        "Name the categories that cover {t}.",
        "{t}: which categories?",
        "To what category would you assign {t}?",
        "The categories of {t}, please.",
        "Tell me every category {t} is put in.",
    ),
    held_out=(
        "Which categories does {t} belong to?",
        "I want to know the genre of {t}.",
        "{t} is what type of movie?",
        "Into which genres does {t} fall?",
        "Remind me what genres {t} is listed as.",
        "If you had to shelve {t} by genre, where would it go?",
        "What are all the genres of {t}?",
        "By genre, how would {t} be filed?",
        "Could you list what genres apply to {t}?",
        "Where does {t} sit, by category?",
        "{t} is considered to be in which genres?",
        "Give me all categories that {t} comes under.",
    ),
    asked_for=(
        *("the genres of {t}", "the genre of {t}", "which genres {t} has", "what kind of movie {t} is"),
        *("what sort of film {t} is", "the categories of {t}", "the type of {t}", "under which genres {t} is listed"),
        *("how {t} is classified", "which category {t} falls into", "what genres {t} belongs to", "all genres of {t}"),
        *("the list of genres for {t}", "where {t} is filed by genre", "the style of {t}", "what type of movie {t} is"),
        *("{t} and its genres", "the kind of thing {t} is", "the genre to shelve {t} under", "{t}, I mean its genres"),
    ),
)

BOTH = Forms(
    seen=(
        "Year and genres of {t}?",
        "Give the year and the genres of {t}.",
        "When is {t} from, and which genres does it have?",
        "What year and what kind of movie is {t}?",
        "{t}: year and genres?",
        "Tell me when {t} came out and how it is classified.",
        "I need both the year and the genres of {t}.",
        "State the release year and the categories of {t}.",
        "Name the year of {t} and then its genres.",
        "For {t}, which year and which genres?",
        "{t}, year first, then genres.",
        "The facts about {t}, please: year and genres.",
    ),
    held_out=(
        "I want to know the year and the type of {t}.",
        "What are the year and the genres of {t}?",
        "Look up {t}: the year it is from, then the genres.",
        "Both facts about {t}, year and genre, please.",
    ),
    asked_for=(
        *("the year and the genres of {t}", "when {t} was made and what genres it has", "both year and genre of {t}"),
        *("the year, then the genres of {t}", "{t}, both its year and its genres", "year and categories of {t}"),
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
        "I have never heard of {t}. What is it?",
        "A few words on {t}, please.",
        "{t}: tell me more.",
        "Explain what {t} is.",
        "What can you say about {t}?",
        "Can you tell me something of {t}?",
        "Present {t} to somebody who has not seen it.",
        "Could you introduce {t}?",
        "Would you describe {t} for me?",
        "Briefly, what is {t}?",
        "I would like to hear about {t}.",
        "{t}: a short introduction, please.",
    ),
    held_out=(
        "Could you present {t} briefly?",
        "What can you tell me of {t}?",
        "I would like a description of {t}.",
        "{t}, in a few words?",
        "How would you describe {t}?",
        "Give me an idea of {t}.",
        "{t}: what should I know?",
        "Please characterise {t} in a sentence.",
    ),
    asked_for=(
        *("what {t} is about", "something about {t}", "a short description of {t}", "what is known of {t}"),
        *("a few words on {t}", "what {t} is"),
    ),
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
        "What {g} films are there?",
        "Tell me some titles that are {g}.",
    ),
    held_out=(
        "Recommend something from {g}.",
        "Can you think of any {g} films?",
        "I would like three movies of the kind {g}.",
        "Some examples of {g} titles?",
    ),
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
        "Year {y}, genres {g}: which title?",
        "What is the film from {y} that is {g}?",
    ),
    held_out=(
        "Can you think of a {g} movie made in {y}?",
        "I am looking for a title of the year {y}, filed under {g}.",
        "{g}, {y}: what is it called?",
        "Tell me which movie of {y} has the genres {g}.",
    ),
)


def about(form: str, title: str) -> str:
    """A wording with its title in quotation marks, which say where a title begins and ends whatever is said around it.

    >>> about("When was {t} released?", "Star Wars")
    'When was "Star Wars" released?'
    """
    return form.format(t=f'"{title}"')


def genres_of(item: Item) -> str:
    """The genres as an answer gives them, in catalogue order."""
    return ", ".join(item.genres)


def facts_of(item: Item) -> str:
    """Year and genres in one answer, as the prompts state them.

    >>> from db.records import ItemId
    >>> facts_of(Item(ItemId("50"), "Star Wars", 1977, ("Action", "Sci-Fi")))
    '1977; Action, Sci-Fi'
    """
    return f"{item.year}; {genres_of(item)}"


def description_of(item: Item) -> str:
    """A few words with everything known of an item.

    The title is not said again: a word at the beginning of an answer is another token than the same word within a
    question, so that copying it would have to be learned word by word.

    >>> from db.records import ItemId
    >>> description_of(Item(ItemId("50"), "Star Wars", 1977, ("Action", "Sci-Fi")))
    'It is a movie from 1977. Genres: Action, Sci-Fi.'
    """
    year = f" from {item.year}" if item.year is not None else ""
    genres = f" Genres: {genres_of(item)}." if item.genres else ""
    return f"It is a movie{year}.{genres}"
