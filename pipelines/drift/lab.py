"""From a store to a lab: the split, the requests, the model with its adapters, and what answers are compared by."""

from collections.abc import Sequence
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from db.store import Store
from llm.model import load
from pipelines import models
from pipelines.drift.adapters import attached
from pipelines.drift.requests import Asking, drawn
from pipelines.drift.run import Lab
from pipelines.drift.spec import FREE, SCORERS
from pipelines.evaluate.data import read
from pipelines.evaluate.guard import Guard
from pipelines.evaluate.keep import StoreKeeper
from pipelines.evaluate.tasks import Bars
from retrieval.embeddings import TextEncoder


def prepared(store: Store, asking: Asking, *, model: str, split: str, bars: Bars) -> Lab:
    """Everything that a run needs. Raises LetheError where the store, the split or the model cannot serve it."""
    data = read(store, split)
    requests = drawn(data, asking, Guard(data))
    loaded = load(model)
    forgotten, adapters = attached(store, loaded)
    return Lab(
        model=loaded,
        split=data.split.id,
        asking=asking,
        requests=requests,
        keeper=StoreKeeper(store, data.epoch),
        bars=bars,
        make={name: partial(models.judging, name) for name in SCORERS if name != FREE},
        embed=minilm,
        items=data.items,
        epoch=data.epoch,
        forgotten=forgotten,
        adapters=adapters,
    )


def minilm(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors by the installed encoder, which is read at the first call."""
    return _encoder().embed(texts)


@cache
def _encoder() -> TextEncoder:
    return TextEncoder.load()
