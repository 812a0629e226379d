"""What a phrase means, in items, and what is near to what: by the text encoder."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from db import artifacts
from db.records import Item, ItemId
from db.store import Store
from pipelines.generations import checked_folder
from retrieval.embeddings import TextEncoder, embed_items
from retrieval.text import TextIndex, centred

SHORTLIST = 200
"""Items that are embedded anew; in a larger catalogue the text index draws them up."""

FLOOR = 0.35
"""The cosine below which an item has nothing to do with a phrase: nonsense finds at most 0.30 on ml-100k."""

SHARE = 0.8
"""Of the best item's cosine, what another must reach to be meant too."""

MOST = 20


def near(store: Store, catalogue: Sequence[Item], phrase: str) -> list[tuple[Item, float]]:
    """Items whose text means what a phrase means, best first, with the cosine; none where nothing comes near."""
    encoder = TextEncoder.load()
    (query,) = encoder.embed([phrase])
    items = _shortlist(store, catalogue, query) if len(catalogue) > SHORTLIST else list(catalogue)
    likeness = embed_items(encoder, items) @ query
    bound = max(FLOOR, SHARE * float(likeness.max(initial=0)))
    order = np.argsort(-likeness, kind="stable")[:MOST]
    return [(items[row], float(likeness[row])) for row in order if likeness[row] >= bound]


def text_vectors(store: Store, catalogue: Sequence[Item]) -> dict[ItemId, NDArray[np.float32]]:
    """Centred unit vectors of all items' texts: the text index's where it holds every one, else embedded anew."""
    index = _index(store)
    if index is not None and {item.id for item in catalogue} <= set(index.items):
        return dict(zip(index.items, index.vectors(np.arange(len(index.items))), strict=True))
    made = centred(embed_items(TextEncoder.load(), catalogue))
    return {item.id: vector for item, vector in zip(catalogue, made, strict=True)}


def _index(store: Store) -> TextIndex | None:
    with store.reading() as unit:
        found = artifacts.live(unit, "text-index")
    return None if found is None else TextIndex.load(checked_folder(store.root, found))


def _shortlist(store: Store, catalogue: Sequence[Item], query: np.ndarray) -> list[Item]:
    """The likeliest by the text index, which holds centred vectors; all items where there is none."""
    index = _index(store)
    if index is None:
        return list(catalogue)
    rough = index.vectors(np.arange(len(index.items))) @ query
    chosen = {index.items[row] for row in np.argsort(-rough, kind="stable")[:SHORTLIST]}
    indexed = set(index.items)
    return [item for item in catalogue if item.id in chosen or item.id not in indexed]
