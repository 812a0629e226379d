"""SCIF (Li et al. 2023): influence of the forgotten pairs on their own rows, their labels replaced by the crowd's."""

from typing import TYPE_CHECKING

import numpy as np

from db.errors import LetheError
from unlearning.data.conjugate import Array
from unlearning.data.influence import Case, Change, InfluenceSettings, InfluenceUnlearner, Scheme, of_recbole
from unlearning.data.newton import Slice
from unlearning.data.pairwise import Triples
from unlearning.data.remaining import merged

if TYPE_CHECKING:
    from recsys.recbole_models import TrainSettings


def scif(
    training: "TrainSettings",
    settings: InfluenceSettings | None = None,
    *,
    collaboration: float = 1.0,
    device: str = "cpu",
) -> InfluenceUnlearner:
    """Selective and collaborative influence function over RecBole's BPR or LightGCN."""
    return of_recbole("scif", training, selective(collaboration), settings, device)


def selective(collaboration: float = 1.0) -> Scheme:
    """Move the rows of the forgotten pairs, which stay with the crowd's label and the weight `collaboration`.

    Selective: the users of these pairs and their items move. (The paper moves users alone; a served model has none.)
    Collaborative: the weight goes from 0, which removes the pairs, to 1, as in the paper, which trains them to a label
    that is not theirs and so goes further than removal. Of a graph the method sees the old one only.
    """
    if not 0 <= collaboration <= 1:
        raise LetheError(f"collaboration {collaboration:g} is no weight: choose one from 0 to 1")

    def _scheme(case: Case) -> Change:
        rows = Slice(np.unique(case.endpoints()), case.nodes)
        was, now = case.loss(case.triples, case.old), case.loss(labelled(case, collaboration), case.old)
        return Change(was, now, rows, {"collaboration": collaboration})

    return _scheme


def labelled(case: Case, collaboration: float) -> Triples:
    """All triples with the crowd's label on the forgotten ones, mixed with what is left where they are removed."""
    told = case.triples.told(case.triples.weight, np.where(case.kept, case.triples.target, crowd(case)))
    both = merged(told.scaled(collaboration), case.remaining().scaled(1 - collaboration))
    return both.take(both.weight > 0)


def crowd(case: Case) -> Array:
    """How likely the surviving pairs make it that the item of a triple is met before its other one, [triples].

    The paper puts the mean rating of those who stay in place of the forgotten one; of a preference between two items
    this is the share of the first among the survivors' meetings with either, each counted once more (Laplace).
    """
    pairs = np.unique(case.after.user * len(case.after.items) + case.after.item)
    met = 1.0 + np.bincount(pairs % len(case.after.items), minlength=len(case.after.items))
    first, second = met[case.triples.item], met[case.triples.other]
    return np.asarray(first / (first + second), dtype=np.float64)
