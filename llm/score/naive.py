"""Pointwise judging the plain way, one full forward pass a candidate: the oracle the packed scorer is held to."""

from collections.abc import Sequence

import numpy as np
import torch

from llm.model import LanguageModel
from llm.prompt import SERVED, Wording
from llm.score.base import Scores, too_long
from llm.score.questions import answers, questions
from retrieval.context import Context


class NaiveScorer:
    """Yes/no logit difference of each candidate, each with the whole prompt. For tests and comparison."""

    name = "naive"

    def __init__(self, model: LanguageModel, *, wording: Wording = SERVED) -> None:
        self.model, self.wording = model, wording
        self._yes, self._no = answers(model)

    def score(self, contexts: Sequence[Context]) -> list[Scores]:
        """As `Scorer.score`."""
        return [self._one(context) for context in contexts]

    def _one(self, context: Context) -> Scores:
        asked = questions(self.model, context, self.wording)
        if asked.longest > self.model.limit:
            return Scores.unusable(len(asked.suffixes), too_long(asked.longest, self.model.limit))
        values = [self._difference(asked.prefix + suffix) for suffix in asked.suffixes]
        return Scores.checked(np.array(values, np.float32))

    @torch.inference_mode()
    def _difference(self, ids: tuple[int, ...]) -> float:
        logits = self.model.model(torch.tensor([ids], device=self.model.device), logits_to_keep=1).logits[0, -1].float()
        return float(logits[self._yes] - logits[self._no])
