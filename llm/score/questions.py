"""A person's yes/no questions as token ids: what is shared, and what each candidate adds."""

from dataclasses import dataclass

from llm.model import LanguageModel
from llm.prompt import NO, SERVED, TAIL, YES, Wording, judge
from retrieval.context import Context


@dataclass(frozen=True, slots=True)
class Questions:
    """The question about candidate i is `prefix + suffixes[i]`; its answer is read after the last token."""

    prefix: tuple[int, ...]
    suffixes: tuple[tuple[int, ...], ...]

    @property
    def longest(self) -> int:
        """Tokens of the longest question."""
        return len(self.prefix) + max(map(len, self.suffixes), default=0)

    @property
    def tokens(self) -> int:
        """Tokens of the packed sequence."""
        return len(self.prefix) + sum(map(len, self.suffixes))


def questions(model: LanguageModel, context: Context, wording: Wording = SERVED) -> Questions:
    """Encode the judging prompt; prefix and suffixes are encoded apart, so that both scorers see the same ids."""
    prompt = judge(context, wording)
    prefix, *suffixes = model.encode((prompt.prefix, *prompt.suffixes))
    tail = model.frame(TAIL)
    return Questions(tuple(model.head(wording.earlier) + prefix), tuple(tuple(ids + tail) for ids in suffixes))


def answers(model: LanguageModel) -> tuple[int, int]:
    """Token ids of yes and no."""
    return model.token(YES), model.token(NO)
