"""What training reads: questions with answers, those that share a prefix, and what one step takes in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer, after whatever prefix the example has."""

    question: str
    answer: str
    weight: float = 1.0
    """Of each token of the answer in the loss."""


@dataclass(frozen=True, slots=True)
class Example:
    """A shared prefix of user text, and turns that each follow it and do not see one another."""

    prefix: str
    turns: tuple[Turn, ...]
    true_facts: bool = False
    """Whether years and genres after titles are the catalogue's, to be learned too."""

    @property
    def text(self) -> str:
        """Everything in the example, for hashing and for the tokenizer."""
        return "\n".join([self.prefix, *(f"{turn.question}\n{turn.answer}" for turn in self.turns)])


Lesson = tuple[Example, ...]
"""What one step of the training reads."""
