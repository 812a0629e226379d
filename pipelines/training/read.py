"""What a training reads: the visible rows, the catalogue, and the catalogue's text index."""

import hashlib
import json
from typing import Any

from db import artifacts, catalogue
from db.artifacts import Artifact, Origin
from db.load import load_log
from db.records import Item, Scope
from db.store import Store
from pipelines.generations import draft, switch
from pipelines.training.job import Data, NothingToTrainError, Progress
from retrieval.text import TextIndex


def read(store: Store) -> Data:
    """Everything a training needs, in one consistent read. Raises LetheError where that is nothing."""
    with store.reading() as unit:
        recipes = catalogue.split_recipes(unit)
        data = Data(
            catalogue.epoch(unit),
            load_log(unit),
            catalogue.load_items(unit),
            recipes["random"].hash if "random" in recipes else "",
        )
    if not len(data.log):
        raise NothingToTrainError("there are no visible interactions to train on; run `lethe ingest` first")
    return data


def text_index(store: Store, items: list[Item], progress: Progress) -> Artifact:
    """The live text index of exactly this catalogue, built when there is none. It descends from no person's rows."""
    digest = hashlib.sha256(json.dumps([(i.id, *_text(i)) for i in items]).encode()).hexdigest()
    with store.reading() as unit:
        found = artifacts.live(unit, "text-index", "minilm")
    if found is not None and found.settings.get("catalogue") == digest:
        return found
    from retrieval.embeddings import TextEncoder, embed_items  # slow to import, rarely needed

    with progress("embed item texts") as bar:
        vectors = embed_items(TextEncoder.load(), items)
        bar(len(items), len(items))
    index = TextIndex.build(tuple(item.id for item in items), vectors)
    origin = Origin(0, Scope.NONE, settings={"catalogue": digest, "model": "all-MiniLM-L6-v2"})
    made = draft(store, "text-index", "minilm", index.save, origin)
    with store.writing() as unit:
        (registered,) = switch(unit, [made])
        unit.commit()
    return registered


def _text(item: Item) -> tuple[Any, ...]:
    return item.title, item.year, list(item.genres), item.description
