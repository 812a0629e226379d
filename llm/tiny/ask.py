"""Asking a model many things at once: greedy answers, and yes/no scores of shared-prefix examples."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from llm import prompt
from llm.tiny.corpus import judge_example
from llm.tiny.encode import Encoder, batch
from llm.tiny.examples import Example, Turn
from retrieval.context import Context

_ASKED_AT_ONCE = 64


class Examiner:
    """A model in evaluation mode with its tokenizer. Frames are encoded with special tokens, user text without."""

    def __init__(self, model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self._encoder = Encoder(tokenizer)
        self._yes, self._no = (self._encoder.user_text(word)[0][0] for word in (prompt.YES, prompt.NO))

    def answers(self, questions: Sequence[str], longest: int = 40) -> list[str]:
        """The greedy answer to each question, of at most `longest` tokens, in the order asked."""
        coded = [self._encoder.user_text(question)[0] for question in questions]
        rows = [self._encoder.head + ids + self._encoder.tail for ids in coded]
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        found = [""] * len(rows)
        for start in range(0, len(order), _ASKED_AT_ONCE):
            places = order[start : start + _ASKED_AT_ONCE]
            for place, answer in zip(places, self._greedy([rows[place] for place in places], longest), strict=True):
                found[place] = answer
        return found

    @torch.inference_mode()
    def _greedy(self, rows: list[list[int]], longest: int) -> list[str]:
        width = max(map(len, rows))
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=self.model.device)
        seen = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=self.model.device)
        said = self.model.generate(
            input_ids=ids, attention_mask=seen, max_new_tokens=longest, do_sample=False, pad_token_id=pad
        )
        answers: list[str] = self.tokenizer.batch_decode(said[:, width:], skip_special_tokens=True)
        return answers

    @torch.inference_mode()
    def surprises(self, texts: Sequence[tuple[str, str]]) -> list[float]:
        """For each question with an answer, the mean surprise of the answer's tokens in nats, its end included."""
        found: list[float] = []
        for start in range(0, len(texts), _ASKED_AT_ONCE):
            examples = [Example("", (Turn(*text),)) for text in texts[start : start + _ASKED_AT_ONCE]]
            data = batch([self._encoder.encode(example) for example in examples])
            ids, mask = (torch.from_numpy(part).to(self.model.device) for part in (data.ids, data.mask[:, None]))
            logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
            lost = cross_entropy(logits.transpose(1, 2).float(), ids[:, 1:], reduction="none").cpu().numpy()
            answered = data.weights[:, 1:] > 0
            found += ((lost * answered).sum(1) / answered.sum(1)).tolist()
        return found

    @torch.inference_mode()
    def judgements(self, context: Context) -> NDArray[np.float64]:
        """The yes/no logit difference of every candidate, in one pass over the shared prefix."""
        example = judge_example(context, np.ones(len(context.candidates), dtype=bool))
        data = batch([self._encoder.encode(example)])
        ids, positions, mask = (
            torch.from_numpy(part).to(self.model.device) for part in (data.ids, data.positions, data.mask[:, None])
        )
        hidden = self.model.model(input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False)[0]
        # The answer is the only weighted "yes" of a branch; the token before it predicts it.
        answered = ((data.weights[0] > 0) & (data.ids[0] == self._yes)).nonzero()[0]
        logits = self.model.lm_head(hidden[0, torch.from_numpy(answered - 1)]).double()
        scores: NDArray[np.float64] = (logits[:, self._yes] - logits[:, self._no]).cpu().numpy()
        return scores
