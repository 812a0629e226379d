"""How fast a concept comes back: the decoder learns from the concept's examples again, with the ids that are served."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from torch import Tensor

from unlearning.tokens.case import Case, Retokened, TokenSettings
from unlearning.tokens.examples import Examples
from unlearning.tokens.learning import Plan, Terms, learn, rebuilt

AT = (0, 5, 20, 50)
"""Steps of relearning."""

ASKED = 64
"""Examples whose items' probability is asked."""

FASTER = 10.0
"""Times the forgetting's learning rate."""


def remember(terms: Terms, settings: TokenSettings) -> Tensor:
    """−L_F alone."""
    return -terms.forget


def relearned(case: Case, made: Retokened, settings: TokenSettings, *, seed: int) -> list[tuple[int, float]]:
    """Mean probability of the concept's items after its examples' histories, by steps of relearning.

    Each stretch begins with fresh moments of Adam; items that left the trie count as if they were back.
    """
    found, model = [(0, _mass(replace(case, model=made.model), seed))], made.model
    for first, last in pairwise(AT):
        own = replace(settings, steps=last - first, learning_rate=FASTER * settings.learning_rate)
        there = replace(case, model=model)
        one = learn(there, Plan(remember), own, seed=seed + last, progress=lambda done, total: None)
        model = rebuilt(case, one.decoder, one.table)
        if made.model.speaker.added is not None:
            model = model.lowered(made.model.speaker.added)
        found.append((last, _mass(replace(case, model=model), seed)))
    return found


def _mass(case: Case, seed: int) -> float:
    examples = Examples.of(case).forget
    chosen = np.random.default_rng(seed).permutation(len(examples))[:ASKED].tolist()
    scores = case.model.scores([examples[place].before for place in chosen])
    return float(np.exp(scores[:, case.concept].astype(np.float64)).sum(axis=1).mean())
