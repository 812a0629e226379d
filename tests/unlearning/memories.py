"""Backbones whose memory is known: one that remembers everything, one that remembers nothing."""

import numpy as np

from recsys.topk import candidates_from


class Lookup:
    """Offers the items of everybody whose items hold the whole history; `minus` lowers those of some people."""

    name = "lookup"

    def __init__(self, log, minus=None, noise=0.0, seed=0):
        self.items = log.items
        self._known = [(set(h.tolist()), 1.0) for h in log.histories() if len(h)]
        self._known += [(set(h.tolist()), -1.0) for h in (minus.histories() if minus else []) if len(h)]
        self._noise = noise * np.random.default_rng(seed).normal(size=len(log.items)).astype(np.float32)

    def scores(self, histories):
        out = np.tile(self._noise, (len(histories), 1))
        for row, history in zip(out, histories, strict=True):
            for known, sign in self._known:
                if known.issuperset(history.tolist()):
                    row[list(known)] += sign
        return out

    def candidates(self, histories, exclude, k):
        return candidates_from(self.scores, histories, exclude, k)


class Blank:
    """Scores by lot, from its seed alone."""

    name = "blank"

    def __init__(self, log, seed):
        self.items = log.items
        self._scores = np.random.default_rng(seed).normal(size=(97, len(log.items))).astype(np.float32)

    def scores(self, histories):
        return np.stack([self._scores[int(h.sum()) % 97] for h in histories])

    def candidates(self, histories, exclude, k):
        return candidates_from(self.scores, histories, exclude, k)
