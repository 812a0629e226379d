"""The answer written out as JSON under a grammar, after CRAGRU (appendix A). For comparison: it is slow.

At every place of the list the grammar (llguidance) admits the numbers not yet used and nothing else, so the answer is a
permutation by construction, whatever the model. It is parsed and checked all the same.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer

from llm.model import LanguageModel
from llm.prompt import RANKING, SERVED, Wording, generate
from llm.score.base import Scores, too_long
from retrieval.context import Context

OPENING = f'{{"{RANKING}":['


class GenerateScorer:
    """Greedy decoding of `{"ranking":[2,3,1]}`; the score of a candidate is minus its place in the answer."""

    name = "generate"

    def __init__(self, model: LanguageModel, *, wording: Wording = SERVED) -> None:
        self.model, self.wording = model, wording
        vocabulary = model.model.get_output_embeddings().weight.shape[0]
        self._tokens: LLTokenizer = from_tokenizer(model.tokenizer, n_vocab=vocabulary)

    def score(self, contexts: Sequence[Context]) -> list[Scores]:
        """As `Scorer.score`."""
        return [self._one(context) for context in contexts]

    def _one(self, context: Context) -> Scores:
        count = len(context.candidates)
        if not count:
            return Scores(np.zeros(0, np.float32))
        asked = self.model.prompt(generate(context, self.wording), self.wording.earlier)
        ids = asked + self.model.encode([OPENING])[0]
        longest = len(ids) + count * (len(str(count)) + 2)
        if longest > self.model.limit:
            return Scores.unusable(count, too_long(longest, self.model.limit))
        return parse(self._write(ids, count), count)

    def _write(self, ids: Sequence[int], count: int) -> str:
        """The model's answer as text; shorter than an answer where its logits are not finite."""
        decoder = Decoder(self.model)
        decoder.read(ids)
        answer: list[int] = []
        left = list(range(1, count + 1))
        while left:
            written = self._number(decoder, left)
            if not written:
                break
            answer += written
            left.remove(int(self._tokens.decode_str(written).rstrip(",]}")))
        return OPENING + str(self._tokens.decode_str(answer))

    def _number(self, decoder: "Decoder", left: Sequence[int]) -> list[int]:
        """Tokens of one of the numbers left and what follows it; empty where the model gave no finite logits."""
        matcher = LLMatcher(self._tokens, LLMatcher.grammar_from_lark(grammar(left)))
        written: list[int] = []
        while not matcher.is_stopped():
            allowed = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")
            token = decoder.best(allowed.astype(bool))
            if token is None or not matcher.consume_token(token):
                return []
            decoder.read([token])
            written.append(token)
        return written


class Decoder:
    """The model, token by token, with its key-value cache."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._cache: Any = None
        self._logits = torch.empty(0)

    @torch.inference_mode()
    def read(self, ids: Sequence[int]) -> None:
        """Append tokens."""
        out = self._model.model(
            torch.tensor([list(ids)], device=self._model.device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache, self._logits = out.past_key_values, out.logits[0, -1].float().cpu()

    def best(self, allowed: np.ndarray[Any, np.dtype[np.bool_]]) -> int | None:
        """The likeliest token among the allowed (bool [vocabulary] or longer); None where its logit is not finite."""
        choices = torch.from_numpy(np.flatnonzero(allowed[: len(self._logits)]))
        logits = self._logits[choices]
        return int(choices[logits.argmax()]) if len(logits) and bool(logits.isfinite().all()) else None


def grammar(left: Sequence[int]) -> str:
    """Lark grammar of the next number, with the comma or, after the last, the end of the JSON."""
    numbers = " | ".join(f'"{number}"' for number in left)
    return f'start: ({numbers}) "{"," if len(left) > 1 else "]}"}"'


def parse(answer: str, count: int) -> Scores:
    """Minus the place of each candidate in the answer; unusable where the answer is not a permutation of 1..count."""
    try:
        order = json.loads(answer)[RANKING]
        permutation = sorted(order) == list(range(1, count + 1))
    except (ValueError, KeyError, TypeError):
        permutation = False
    if not permutation:
        return Scores.unusable(count, f"the answer is not an order of {count} candidates: {answer[:60]!r}")
    values = np.empty(count, np.float32)
    values[np.array(order) - 1] = -np.arange(1, count + 1, dtype=np.float32)
    return Scores(values)
