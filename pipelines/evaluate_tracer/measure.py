"""What is measured of a recommender that was to forget a concept: one row a person, and figures of the whole."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from recsys.candidates import FloatArray, IntArray
from recsys.heldout import HeldOut
from recsys.metrics import evaluate
from recsys.semantic_ids.backbone import SemanticIds, once
from recsys.semantic_ids.codes import CodeTable
from recsys.semantic_ids.speaker import Speaker
from recsys.semantic_ids.trie import Trie
from recsys.topk import top_k
from unlearning.tokens.case import Case, Retokened

TOP = 10


@dataclass(frozen=True)
class Asked:
    """Who is asked, and which questions are of which kind."""

    questions: HeldOut
    concept: IntArray
    near: IntArray
    """Rows of the items near the concept."""

    @property
    def histories(self) -> list[IntArray]:
        """As a recommender reads them."""
        return [once(history) for history in self.questions.histories]


def some(questions: HeldOut, most: int, seed: int) -> HeldOut:
    """So many of the people, by lot; all where there are no more."""
    chosen = np.zeros(len(questions.people), dtype=np.bool_)
    chosen[np.random.default_rng(seed).permutation(len(chosen))[:most]] = True
    return questions.take(chosen)


def measured(made: Retokened, before: SemanticIds, asked: Asked) -> pl.DataFrame:
    """One row a person, shares from 0 to 1.

    `exposure`: slots of the served list of ten that concept items take; `free exposure`: the same where any code may
    follow any. `mass`: probability of all concept items under the trie; `free mass` without it, by the ids that are
    served; `old mass`, by those from before. `ndcg` and `recall` are of the last item; `of` says whether that is of the
    concept, near to it, or another.
    """
    model, concept = made.model, asked.concept
    questions = asked.questions
    shut = [np.union1d(rows, made.closed).astype(np.int64) for rows in questions.exclude]
    lists = [found.rows for found in model.candidates(questions.histories, shut, TOP)]
    free = model.speaker.scores(asked.histories, free=True)
    under = _open(model.speaker.scores(asked.histories), made.closed)
    unbound = [found.rows for found in top_k(_open(free, made.closed), questions.exclude, TOP)]
    same = before.table.version == model.table.version
    old = free if same else _old(model, before.table).scores(asked.histories, free=True)
    found = evaluate(lists, questions.relevant, TOP)
    wanted = np.concatenate(questions.relevant)
    kinds = np.where(np.isin(wanted, concept), "concept", np.where(np.isin(wanted, asked.near), "near", "other"))
    return pl.DataFrame(
        {
            "person": questions.people,
            "of": kinds,
            "exposure": _slots(lists, concept),
            "free exposure": _slots(unbound, concept),
            "mass": _mass(under, concept),
            "free mass": _mass(free, concept),
            "old mass": _mass(old, concept),
            "ndcg": found.ndcg,
            "recall": found.recall,
        }
    )


def facts(case: Case, made: Retokened) -> dict[str, Any]:
    """How far ids moved, and how they lie among the others before and after."""
    before, after = case.model.table, made.model.table
    codes = [table.codes[case.concept, :-1] for table in (before, after)]
    return {
        **made.facts,
        "items": len(case.concept),
        "moved": float((codes[0] != codes[1]).any(axis=1).mean()),
        "moved_codes": float((codes[0] != codes[1]).mean()),
        "entangled_before": entanglement(before, case.concept),
        "entangled_after": entanglement(after, case.concept),
        "collisions_before": before.collisions,
        "collisions_after": after.collisions,
        "ids": after.version,
    }


def entanglement(table: CodeTable, concept: IntArray) -> float:
    """Mean share of other items that bear a concept item's code, over its items and levels."""
    others = np.setdiff1d(np.arange(len(table.codes)), concept)
    shares = [
        np.bincount(table.codes[others, level], minlength=table.width)[table.codes[concept, level]] / len(others)
        for level in range(table.levels)
    ]
    return float(np.mean(shares))


def _old(model: SemanticIds, table: CodeTable) -> Speaker:
    """The new decoder, asked by the ids from before."""
    return Speaker(model.decoder, Trie(table), model.window)


def _open(scores: FloatArray, closed: IntArray) -> FloatArray:
    out = scores.copy()
    out[:, closed] = np.finfo(np.float32).min
    return out


def _mass(scores: FloatArray, concept: IntArray) -> FloatArray:
    return np.asarray(np.exp(scores[:, concept].astype(np.float64)).sum(axis=1))


def _slots(lists: list[IntArray], concept: IntArray) -> list[float]:
    return [float(np.isin(rows, concept).mean()) if len(rows) else 0.0 for rows in lists]
