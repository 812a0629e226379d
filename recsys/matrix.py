"""Interactions as sparse 0/1 matrices over item rows."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from db.log import InteractionLog
from recsys.candidates import IntArray


def history_matrix(histories: Sequence[IntArray], items: int) -> "sp.csr_matrix[np.float64]":
    """One row of 0 and 1 for each history, shape [people, items]; a repeated item counts once."""
    distinct = [np.unique(h) for h in histories]
    bounds = np.concatenate([[0], np.cumsum([len(h) for h in distinct])]).astype(np.int64)
    columns = np.concatenate([np.zeros(0, dtype=np.int64), *distinct])
    return sp.csr_matrix((np.ones(len(columns)), columns, bounds), shape=(len(histories), items))


def log_matrix(log: InteractionLog) -> "sp.csr_matrix[np.float64]":
    """One row of 0 and 1 for each user of the log, shape [users, items]; a repeated item counts once."""
    pairs = np.unique(log.user * len(log.items) + log.item)
    user, item = np.divmod(pairs, max(1, len(log.items)))
    ones = np.ones(len(pairs))
    return sp.csr_matrix((ones, (user, item)), shape=(len(log.users), len(log.items)))
