"""All candidates in one prompt; each is scored by the logit of its label as the answer's first token.

Cheaper still than packed judging, but the answer depends on the order in which the candidates are listed. A label is
one letter, hence one token in every byte-level vocabulary. More candidates than labels are dealt out in turn to as few
prompts as hold them (candidate i to prompt i mod n), so that each prompt sees a fair share of the retrieval's order;
each prompt's logits are then standardised, because logits of different prompts have no common zero.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from db.errors import LetheError
from llm.fusion import standardise
from llm.model import LanguageModel
from llm.prompt import LABELS, SERVED, Wording, listwise
from llm.score.base import FloatArray, Scores, too_long
from retrieval.context import Context


class ListwiseScorer:
    """Label logits after one prompt; one forward pass for up to 52 candidates."""

    name = "listwise"

    def __init__(self, model: LanguageModel, *, wording: Wording = SERVED) -> None:
        self.model, self.wording = model, wording
        self._labels = [model.token(label) for label in LABELS]
        if len(set(self._labels)) != len(LABELS):
            raise LetheError(f"{model.name}: two candidate labels are the same token: choose the packed scorer")

    def score(self, contexts: Sequence[Context]) -> list[Scores]:
        """As `Scorer.score`."""
        return [self._one(context) for context in contexts]

    def _one(self, context: Context) -> Scores:
        count = len(context.candidates)
        prompts = -(-count // len(LABELS))
        values = np.zeros(count, np.float32)
        for turn in range(prompts):
            part = replace(context, candidates=context.candidates[turn::prompts])
            ids = self.model.prompt(listwise(part, self.wording), self.wording.earlier)
            if len(ids) > self.model.limit:
                return Scores.unusable(count, too_long(len(ids), self.model.limit))
            logits = self._logits(ids)[: len(part.candidates)]
            values[turn::prompts] = logits if prompts == 1 else standardise(logits)
        return Scores.checked(values)

    @torch.inference_mode()
    def _logits(self, ids: list[int]) -> FloatArray:
        """Logit of each label after the prompt, float32 [labels]."""
        answer = self.model.model(torch.tensor([ids], device=self.model.device), logits_to_keep=1).logits[0, -1]
        logits: FloatArray = answer[self._labels].float().cpu().numpy()
        return logits
