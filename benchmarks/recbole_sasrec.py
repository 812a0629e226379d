"""RecBole's SASRec on rows that Lethe held out: what the generative recommender is compared with.

Model, settings, files, loss (cross-entropy over all items), optimiser and epochs are RecBole's; the epoch is chosen and
the figures are made by our evaluator, seen items excluded. Batches are made in one of two ways. `prefixes` is RecBole
as it comes: every position of a history is a row, read anew from its beginning. `windows` is what the paper does (Kang
and McAuley 2018): a window is read once and asked at every position, as many targets a step for a fortieth of the time.
"""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import recbole_default
from benchmarks.backbones import by_rows
from db.log import InteractionLog
from recsys.candidates import FloatArray, IntArray
from recsys.heldout import HeldOut
from recsys.semantic_ids.training import windows

WINDOWS, PREFIXES = "windows", "prefixes"

PUBLISHED = {"MAX_ITEM_LIST_LENGTH": 200, "n_heads": 1, "hidden_dropout_prob": 0.2, "attn_dropout_prob": 0.2}
"""The paper's for MovieLens, where it differs from RecBole's; the hidden size stays 64 (50 there)."""

SETTINGS: Mapping[str, Mapping[str, Any]] = {"default": {}, "published": PUBLISHED}
"""What is changed of RecBole's settings, by name."""

READ_AT_ONCE = 256
"""Histories that are scored at a time."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Every row, and of each history the last item and the last but one as questions."""

    log: InteractionLog
    train: InteractionLog
    valid: HeldOut
    test: HeldOut


@dataclass(frozen=True, slots=True)
class Budget:
    """How long is trained. RecBole's own: 300 epochs, and 10 evaluations, one an epoch, without a better one."""

    epochs: int = 60
    evaluate_every: int = 3
    patience: int = 4
    seconds: float = 480.0
    """Of the processor; none is begun after that."""


@dataclass(slots=True)
class _Best:
    score: float = -1.0
    epoch: int = 0
    state: dict[str, Tensor] = field(default_factory=dict)


def run(asked: Asked, how: str, changed: Mapping[str, Any], *, seed: int, budget: Budget) -> dict[str, Any]:
    """Train, keep the epoch with the best NDCG@10 on validation, and measure it on the last items."""
    with recbole_default.elsewhere() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RecBole fills empty cells in a way that pandas ignores; there are none
        config, dataset, loader = _prepared(folder, asked, {"seed": seed, **changed})
        ids = np.array(dataset.token2id("item_id", [str(row) for row in range(len(asked.log.items))]))
        torch.manual_seed(seed)
        model = _everywhere()(config, dataset)
        batches = loader if how == PREFIXES else _Windows(model, asked.train, ids, seed)
        started, cpu = time.perf_counter(), time.process_time()
        best, curve, limit = _trained(model, config, batches, (asked.valid, ids), budget)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    model.load_state_dict(best.state)
    found = by_rows(scores(model, asked.test.histories, ids), asked.test).means()
    told = {"batches": how, "seed": seed, "changed": dict(changed), "epoch": best.epoch, "limited_by": limit}
    return {**found, **told, "valid": best.score, "curve": curve, "seconds": seconds, "cpu_seconds": cpu}


def _trained(
    model: Any, config: Any, batches: Any, judged: tuple[HeldOut, IntArray], budget: Budget
) -> tuple[_Best, list[tuple[int, float]], str | None]:
    """The best state, NDCG@10 by epoch, and what ended the training before it stopped by itself."""
    from recbole.trainer import Trainer

    trainer, (valid, ids) = Trainer(config, model), judged
    best, curve, cpu = _Best(), list[tuple[int, float]](), time.process_time()
    for epoch in range(1, budget.epochs + 1):
        trainer._train_epoch(batches, epoch)
        late = time.process_time() - cpu >= budget.seconds
        if epoch % budget.evaluate_every and epoch != budget.epochs and not late:
            continue
        curve.append((epoch, float(by_rows(scores(model, valid.histories, ids), valid).ndcg.mean())))
        if curve[-1][1] > best.score:
            best = _Best(curve[-1][1], epoch, {name: part.clone() for name, part in model.state_dict().items()})
        if epoch - best.epoch >= budget.patience * budget.evaluate_every:
            return best, curve, None
        if late:
            return best, curve, f"{budget.seconds:.0f} s of the processor"
    return best, curve, f"{budget.epochs} epochs"


def _prepared(folder: Path, asked: Asked, changed: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """RecBole's configuration, training rows and their loader, over files of every row in our order.

    Raises ValueError where RecBole's questions are not ours: the same last items, after the same histories.
    """
    recbole_default.supply_dropped_names()
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import init_seed

    log = asked.log
    rows = zip(log.user.tolist(), log.item.tolist(), range(len(log)), strict=True)
    lines = [f"{user}\t{item}\t{place}" for user, item, place in rows]
    text = "\n".join(["user_id:token\titem_id:token\ttimestamp:float", *lines, ""])
    (folder / "bench.inter").write_text(text)
    columns = {"load_col": {"inter": ["user_id", "item_id", "timestamp"]}, "train_neg_sample_args": None}
    config = recbole_default.configured("SASRec", {**columns, "eval_args": dict(_LAST_OUT), **changed})
    init_seed(config["seed"], True)
    dataset = create_dataset(config)
    loader, valid, test = data_preparation(config, dataset)
    for theirs, ours in ((valid, asked.valid), (test, asked.test)):
        if _questions(theirs.dataset) != _ours(ours, config["MAX_ITEM_LIST_LENGTH"]):
            raise ValueError("RecBole holds out other items, or shows other histories")
    return config, loader.dataset, loader


_LAST_OUT = {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full", "group_by": "user"}

Questions = list[tuple[str, tuple[str, ...], str]]


def _questions(dataset: Any) -> Questions:
    """Person, history and item of RecBole's rows, by the names in our files."""
    rows = dataset.inter_feat
    people, wanted = (dataset.id2token(name, rows[name].numpy()) for name in ("user_id", "item_id"))
    lengths = rows["item_length"].tolist()
    before = [dataset.id2token("item_id", h[:n]) for h, n in zip(rows["item_id_list"].numpy(), lengths, strict=True)]
    return sorted((str(p), tuple(map(str, h)), str(i)) for p, h, i in zip(people, before, wanted, strict=True))


def _ours(asked: HeldOut, length: int) -> Questions:
    rows = zip(asked.people.tolist(), asked.histories, asked.relevant, strict=True)
    return sorted((str(p), tuple(map(str, h[-length:].tolist())), str(i[0])) for p, h, i in rows)


@torch.no_grad()
def scores(model: Any, histories: Sequence[IntArray], ids: IntArray) -> FloatArray:
    """RecBole's score of every item after each history, [people, items]."""
    model.eval()
    found = []
    for start in range(0, len(histories), READ_AT_ONCE):
        read, lengths = _padded(histories[start : start + READ_AT_ONCE], ids, model.max_seq_length)
        found.append(model.full_sort_predict({model.ITEM_SEQ: read, model.ITEM_SEQ_LEN: lengths})[:, ids])
    return np.asarray(torch.cat(found).numpy(), dtype=np.float32)


def _padded(histories: Sequence[IntArray], ids: IntArray, length: int) -> tuple[Tensor, Tensor]:
    """The last items of each history by RecBole's ids, padded behind with 0, and how many they are."""
    out = np.zeros((len(histories), length), dtype=np.int64)
    for row, history in zip(out, histories, strict=True):
        row[: min(length, len(history))] = ids[history[-length:]]
    return torch.from_numpy(out), torch.from_numpy((out > 0).sum(axis=1))


def _everywhere() -> Any:
    from recbole.model.sequential_recommender.sasrec import SASRec

    class Everywhere(SASRec):  # type: ignore[misc]
        """SASRec that is asked at every position of a window where batches bring a target for each."""

        def calculate_loss(self, interaction: Any) -> Tensor:
            """Mean cross-entropy over all items, of every position that has a target."""
            read, targets = interaction[self.ITEM_SEQ], interaction[self.POS_ITEM_ID]
            if targets.ndim == 1:
                return super().calculate_loss(interaction)  # type: ignore[no-any-return]
            states = self.forward(read, torch.ones_like(read))[targets > 0]
            loss: Tensor = self.loss_fct(states @ self.item_embedding.weight.T, targets[targets > 0])
            return loss

        def gather_indexes(self, output: Tensor, gather_index: Tensor) -> Tensor:
            """States at one position of each history; at every position where lengths [people, positions] are given."""
            if gather_index.ndim > 1:
                return output
            return super().gather_indexes(output, gather_index)  # type: ignore[no-any-return]

    return Everywhere


class _Windows:
    """Batches of windows, cut from another place each epoch, with as many targets as RecBole's batches."""

    def __init__(self, model: Any, log: InteractionLog, ids: IntArray, seed: int, size: int = 2048) -> None:
        self._histories = [ids[history] for history in log.histories() if len(history) > 1]
        self._model, self._length, self._rng = model, model.max_seq_length, np.random.default_rng(seed)
        self._size = max(1, size // self._length)
        self.shuffle = False

    def __iter__(self) -> Iterator[Any]:
        from recbole.data.interaction import Interaction

        pieces = [one for one in windows(self._histories, self._length + 1, self._rng) if len(one) > 1]
        order = self._rng.permutation(len(pieces)).tolist()
        same = np.arange(1 + max(int(history.max()) for history in self._histories))
        for start in range(0, len(order), self._size):
            own = [pieces[place] for place in order[start : start + self._size]]
            read, _ = _padded([one[:-1] for one in own], same, self._length)
            wanted, _ = _padded([one[1:] for one in own], same, self._length)
            yield Interaction({self._model.ITEM_SEQ: read, self._model.POS_ITEM_ID: wanted})
