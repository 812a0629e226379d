"""The generative recommender as a backbone: ids, codebooks and decoder in one file, served from visible histories."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from db.errors import LetheError
from db.records import ItemId
from recsys.candidates import Candidates, FloatArray, IntArray
from recsys.ids import ItemRows
from recsys.semantic_ids.codes import CodeTable
from recsys.semantic_ids.decoder import Decoder, Shape
from recsys.semantic_ids.speaker import Speaker
from recsys.semantic_ids.tokenizer import Tokenizer
from recsys.semantic_ids.trie import Trie
from recsys.topk import no_candidates

FILE = "item.safetensors"

BEAM = 64
"""Beginnings that a search keeps at each level, or as many as items are asked for."""

_ABOUT = ("mean", "codebooks", "latents", "codes")


@dataclass(frozen=True, slots=True)
class Served:
    """Numbers that serving needs beside the tensors."""

    window: int
    """Items of the history that are read."""
    width: int
    digits: int
    scale: float


class SemanticIds:
    """A fitted generative recommender. Scores are log-probabilities of the next item, under the trie of its ids.

    An item counts once in a history, where it was met first. The ids may be others than the tokenizer gives: some items
    can have been moved. Whatever they are, the decoder was fitted to exactly this version of them.
    """

    name = "semantic-ids"

    def __init__(
        self, items: tuple[ItemId, ...], tokenizer: Tokenizer, table: CodeTable, decoder: Decoder, window: int
    ) -> None:
        if not len(items) == len(table.codes) == len(tokenizer.latents):
            raise ValueError(f"{len(items)} items, {len(table.codes)} ids, {len(tokenizer.latents)} latents")
        if decoder.embed_tokens.num_embeddings != table.vocabulary + 1:
            raise ValueError(f"the decoder speaks {decoder.embed_tokens.num_embeddings} tokens, not {table.vocabulary}")
        self.items, self.tokenizer, self.table, self.window = items, tokenizer, table, window
        self.decoder = decoder.eval()
        self.speaker = Speaker(decoder, Trie(table), window)

    def lowered(self, logits: Tensor) -> Self:
        """The same recommender, asked with something added to every token's logit; that is not saved."""
        made = type(self)(self.items, self.tokenizer, self.table, self.decoder, self.window)
        made.speaker = Speaker(self.decoder, made.speaker.trie, self.window, added=logits)
        return made

    def settings(self) -> dict[str, object]:
        """What the manifest records beside seed, data epoch and the fitter's settings."""
        told = {"backbone": self.name, "ids": self.table.version, "collisions": self.table.collisions}
        return {**told, "parameters": sum(tensor.numel() for tensor in self.decoder.parameters())}

    def scores(self, histories: Sequence[IntArray]) -> FloatArray:
        """Log-probability of every item after each history, float32 [people, items]; zeros after an empty one."""
        out = np.zeros((len(histories), len(self.items)), dtype=np.float32)
        told = [place for place, history in enumerate(histories) if len(history)]
        out[told] = self.speaker.scores([once(histories[place]) for place in told])
        return out

    def candidates(self, histories: Sequence[IntArray], exclude: Sequence[IntArray], k: int) -> list[Candidates]:
        """The k best items outside each `exclude` that a beam finds; an empty history yields an empty list."""
        if len(histories) != len(exclude):
            raise ValueError(f"{len(histories)} histories but {len(exclude)} exclusions")
        if k < 1:
            raise LetheError(f"a list of {k} items was asked for: ask for at least 1")
        lists = [no_candidates() for _ in histories]
        told = [place for place, history in enumerate(histories) if len(history)]
        asked = [once(histories[place]) for place in told]
        found = self.speaker.beam(asked, [exclude[place] for place in told], k, width=BEAM)
        for place, (rows, scores) in zip(told, found, strict=True):
            lists[place] = Candidates(rows, scores, ("backbone",) * len(rows))
        return lists

    def save(self, folder: Path) -> None:
        """Write the tensors and ids to an existing, empty folder: codes, codebooks and decoder are one file."""
        tokenizer = self.tokenizer
        numbers = Served(self.window, self.table.width, self.table.digits, tokenizer.scale)
        facts = {key: repr(value) for key, value in {**asdict(numbers), **asdict(self.decoder.shape)}.items()}
        arrays = (tokenizer.mean, tokenizer.codebooks, tokenizer.latents, self.table.codes)
        tensors = {key: torch.from_numpy(np.ascontiguousarray(a)) for key, a in zip(_ABOUT, arrays, strict=True)}
        weights = {f"model.{key}": tensor.contiguous() for key, tensor in self.decoder.state_dict().items()}
        save_file({**tensors, **weights}, folder / FILE, {**facts, "version": self.table.version})
        ItemRows(self.items).save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises LetheError where the ids are not those that the decoder was fitted to."""
        with safe_open(folder / FILE, framework="pt") as stored:
            facts = stored.metadata()
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
        table = CodeTable(tensors["codes"].numpy(), int(facts["width"]), int(facts["digits"]))
        check_version(table, facts["version"])
        sizes = {key: int(facts[key]) for key in asdict(Shape()) if key != "dropout"}
        shape = Shape(**sizes, dropout=float(facts["dropout"]))
        decoder = Decoder(shape, table.vocabulary + 1)
        decoder.load_state_dict({k.removeprefix("model."): t for k, t in tensors.items() if k.startswith("model.")})
        mean, books, latents = (tensors[key].numpy() for key in _ABOUT[:3])
        tokenizer = Tokenizer(latents, books, mean, float(facts["scale"]))
        return cls(ItemRows.load(folder).ids, tokenizer, table, decoder, int(facts["window"]))


def check_version(table: CodeTable, version: str) -> None:
    """Raise LetheError where a table of ids is not the version that was named."""
    if table.version != version:
        told = f"ids of version {table.version[:12]}, but the decoder speaks {version[:12]}"
        raise LetheError(f"{told}: the id table is stale; run `lethe train --backbone semantic-ids`")


def once(history: IntArray) -> IntArray:
    """The history with each item where it came first."""
    _, first = np.unique(history, return_index=True)
    return history[np.sort(first)]
