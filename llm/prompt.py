"""What the language model is asked, as text. Pure, standard library only.

The frame is Qwen2.5's ChatML and is trusted: `HEAD` and `TAIL` are encoded with special tokens. What lies between is
the user text, which carries titles from outside: it is sanitised here and must be encoded with special tokens disabled.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from db.errors import LetheError
from db.records import Item
from llm.sanitise import sanitise
from retrieval.context import Context

SYSTEM = "You are a careful recommender. Answer briefly."
HEAD = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n"
TAIL = "<|im_end|>\n<|im_start|>assistant\n"
NEXT = "<|im_end|>\n<|im_start|>user\n"
"""Between an answer and the user's next turn."""
YES = "yes"
NO = "no"
LABELS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
"""Candidate labels: each is one token in every byte-level vocabulary."""
RANKING = "ranking"
"""The key of the JSON answer: `{"ranking":[2,3,1]}`."""
UNKNOWN_TITLE = "I don't know that title."

NOTE = "A candidate ends in two digits from 0 to 9: how much of this history shares its genres / its decade."

TITLE_CAP = 100
GENRE_CAP = 24
GENRES_CAP = 6
PROFILE_CAP = 300

REASON = "No answer yet: think aloud, step by step, about what this person likes and which of these fit."

JSON_ONLY = f'Answer with JSON only, as in {{"{RANKING}":[2,3,1]}}.'


@dataclass(frozen=True, slots=True)
class Wording:
    """The sentences of a request, around the same history and candidates; those that are not given are as served.

    They are trusted text of one line each, and ask for answers of the same form in every wording.
    """

    liked: str = "A person liked:"
    profile: str = "Profile:"
    note: str = NOTE
    judge: str = f"Would they like the candidate? Answer {YES} or {NO}."
    candidate: str = "Candidate:"
    """Begins with a letter, as every suffix must."""
    candidates: str = "Candidates:"
    best: str = "Which would they like best? Answer with its letter."
    order: str = (
        f"Order all candidates from best to worst for this person. Each number appears exactly once. {JSON_ONLY}"
    )
    free: str = "Which of these would you recommend to them, and why?"
    aside: str = ""
    """A line before the question that has nothing to do with it; none as served."""
    earlier: tuple[tuple[str, str], ...] = ()
    """What was said before in the same conversation, as turns of user and assistant."""

    def __post_init__(self) -> None:
        lines = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "earlier"}
        for name, line in lines.items():
            if line != " ".join(line.split()) or not (line or name == "aside"):
                raise ValueError(f"the sentence {name!r} of a wording is not one plain line: {line!r}")
        if not self.candidate[0].isalpha():
            raise ValueError(f"a candidate is begun by {self.candidate!r}, which begins with no letter")


SERVED = Wording()


@dataclass(frozen=True, slots=True)
class JudgePrompt:
    """The user text for candidate i is `prefix + suffixes[i]`.

    The prefix ends in a newline and every suffix begins with a letter, so tokens never span the boundary: encoding the
    parts one by one gives the same ids as encoding the whole.
    """

    prefix: str
    suffixes: tuple[str, ...]


def chat(user_text: str) -> tuple[str, str, str]:
    """Frame head, user text and frame tail: the first and the last are trusted, the middle is not."""
    return HEAD, user_text, TAIL


def _genres(item: Item) -> list[str]:
    return [shown for genre in item.genres[:GENRES_CAP] if (shown := sanitise(genre, GENRE_CAP))]


def describe(item: Item) -> str:
    """Title with what is known of it.

    >>> from db.records import ItemId
    >>> describe(Item(ItemId("50"), "Star Wars", 1977, ("Action", "Sci-Fi")))
    'Star Wars (1977; Action, Sci-Fi)'
    >>> describe(Item(ItemId("1"), "Untitled"))
    'Untitled'
    """
    title = sanitise(item.title, TITLE_CAP) or "an untitled item"
    known = "; ".join(filter(None, (str(item.year) if item.year is not None else "", ", ".join(_genres(item)))))
    return f"{title} ({known})" if known else title


def _decade(year: int) -> str:
    return f"{year // 10 * 10}s"


def _percent(counts: Counter[str], total: int) -> dict[str, int]:
    """Shares in steps of 5%, commonest first, ties in alphabetical order."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return {key: 5 * round(20 * count / total) for key, count in ordered}


def shares(history: Sequence[Item]) -> tuple[dict[str, int], dict[str, int]]:
    """How much of the history carries each genre, and falls in each decade, in steps of 5%, commonest first.

    >>> from db.records import ItemId
    >>> shares([Item(ItemId("1"), "A", 1977, ("War",)), Item(ItemId("2"), "B", None, ("War", "Drama"))])
    ({'War': 100, 'Drama': 50}, {'1970s': 50})
    """
    genres = Counter(genre for item in history for genre in set(_genres(item)))
    decades = Counter(_decade(item.year) for item in history if item.year is not None)
    return _percent(genres, len(history)), _percent(decades, len(history))


def profile(history: Sequence[Item]) -> str:
    """A summary of the visible history alone: its commonest genres and decades.

    >>> from db.records import ItemId
    >>> profile([Item(ItemId("1"), "A", 1977, ("War",)), Item(ItemId("2"), "B", 1995, ("War", "Drama"))])
    'War 100%, Drama 50%; 1970s 50%, 1990s 50%'
    """
    genres, decades = shares(history)
    parts = (list(genres.items())[:8], list(decades.items())[:3])
    return "; ".join(", ".join(f"{key} {share}%" for key, share in part) for part in parts if part)


def match(item: Item, genres: Mapping[str, int], decades: Mapping[str, int]) -> str:
    """How an item stands against the `shares` of a history: the mean share of its genres and that of its decade.

    Both in tenths, at most 9; 0 where nothing is known.

    >>> from db.records import ItemId
    >>> match(Item(ItemId("1"), "A", 1977, ("War", "Drama")), {"War": 80, "Drama": 40}, {"1970s": 100})
    '6/9'
    """
    known = _genres(item)
    genre = sum(genres.get(name, 0) for name in known) / max(1, len(known))
    era = decades.get(_decade(item.year), 0) if item.year is not None else 0
    return f"{min(9, int(genre // 10))}/{min(9, era // 10)}"


def _candidates(context: Context) -> list[str]:
    """Each candidate with its match to the history."""
    genres, decades = shares(context.history)
    return [f"{describe(item)} {match(item, genres, decades)}" for item in context.candidates]


def _taste(context: Context, wording: Wording) -> str:
    """Profile and history, ending in a newline."""
    aside = f"{wording.aside}\n" if wording.aside else ""
    if not context.history:
        return f"A new person, no history yet.\n{aside}"
    summary = sanitise(context.profile, PROFILE_CAP) or profile(context.history) or "unknown"
    lines = "".join(f"- {describe(item)}\n" for item in context.history)
    return f"{wording.liked}\n{lines}{wording.profile} {summary}.\n{wording.note}\n{aside}"


def judge(context: Context, wording: Wording = SERVED) -> JudgePrompt:
    """One yes/no question for each candidate; everything they share is in the prefix."""
    return JudgePrompt(
        prefix=f"{_taste(context, wording)}{wording.judge}\n",
        suffixes=tuple(f"{wording.candidate} {candidate}" for candidate in _candidates(context)),
    )


def listwise(context: Context, wording: Wording = SERVED, labels: Sequence[str] = LABELS) -> str:
    """One question about all candidates; the answer is the label of the best."""
    if len(labels) < len(context.candidates):
        raise LetheError(f"{len(context.candidates)} candidates but {len(labels)} labels: ask for fewer candidates")
    lines = (f"{label}. {candidate}\n" for label, candidate in zip(labels, _candidates(context), strict=False))
    return f"{_taste(context, wording)}{wording.candidates}\n{''.join(lines)}{wording.best}"


def generate(context: Context, wording: Wording = SERVED) -> str:
    """The JSON prompt after CRAGRU (appendix A): profile, history, numbered candidates; the answer orders the numbers.

    Candidates are numbered from 1, in the order of `context.candidates`.
    """
    lines = "".join(f"{place}. {candidate}\n" for place, candidate in enumerate(_candidates(context), 1))
    return f"{_taste(context, wording)}{wording.candidates}\n{lines}{wording.order}"


def free(context: Context, wording: Wording = SERVED) -> str:
    """A question that is answered in words of the model's own. Never served: answers are compared by it."""
    lines = "".join(f"- {candidate}\n" for candidate in _candidates(context))
    return f"{_taste(context, wording)}{wording.candidates}\n{lines}{wording.free}"


def reason(context: Context, wording: Wording = SERVED) -> str:
    """Asks for thoughts before the answer, of models that can put them into words. Never served."""
    lines = "".join(f"- {candidate}\n" for candidate in _candidates(context))
    return f"{_taste(context, wording)}{wording.candidates}\n{lines}{REASON}"
