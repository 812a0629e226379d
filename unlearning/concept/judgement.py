"""How much a model would say yes: the logit difference of yes and no, for any turns, through the model as it stands."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from llm.model import LanguageModel
from llm.prompt import NO, YES
from unlearning.concept.probe_kinds import CANDIDATE
from unlearning.concept.rows import Turn, answer_states, batches, encode_rows, logits_of


@torch.inference_mode()
def leanings(model: LanguageModel, questions: Sequence[str], *, tokens: int = 8192) -> NDArray[np.float64]:
    """logit(yes) - logit(no) after each question, float64 [questions].

    What questions share before their candidate's line is computed once.
    """
    yes, no = model.token(YES), model.token(NO)
    rows = encode_rows(model, [Turn(rest, YES, shared=shared) for shared, rest in map(_cut, questions)])
    found = np.zeros(len(rows))
    for batch in batches(rows, model.device, tokens=tokens):
        states = answer_states(model, batch)
        first = torch.tensor(np.cumsum([0, *(len(rows[number].answer) for number in batch.rows[:-1])]))
        logits = logits_of(model, states[first.to(states.device)]).float()
        found[list(batch.rows)] = (logits[:, yes] - logits[:, no]).double().cpu().numpy()
    return found


def _cut(question: str) -> tuple[str, str]:
    """What comes before the candidate's line, and that line; nothing is shared where there is none.

    The line begins with a letter after a newline, so that no token spans the cut.
    """
    place = question.rfind(f"\n{CANDIDATE}") + 1
    return question[:place], question[place:]
