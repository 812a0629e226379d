"""The re-ranker's weight for each backbone: chosen once on validation rows and kept, unless it is given."""

from typing import Any

from db import files
from db.errors import LetheError
from db.records import Split
from pipelines.evaluate.guard import Guard
from pipelines.evaluate.keep import Keeper
from pipelines.evaluate.methods import Fitting
from pipelines.evaluate.rerank import Reranker
from pipelines.evaluate.settings import read_document
from pipelines.evaluate.split import Data
from recsys.heldout import held_out
from unlearning.data.base import Progress

FILE = "weight.json"


def told(reranker: Reranker) -> dict[str, Any]:
    """What determines re-ranked lists, but for the weight."""
    names = ("scorer", "model", "length", "candidates", "max_shift", "seed")
    return {
        **{name: getattr(reranker.plan, name) for name in names},
        "people": reranker.people,
        "fingerprint": reranker.fingerprint,
    }


def chosen(
    reranker: Reranker, data: Data, fitting: Fitting, keeper: Keeper, *, quick: bool, progress: Progress
) -> dict[str, Any]:
    """The same with the weight. Raises LetheError where it was chosen for other settings of the re-ranker."""
    about = told(reranker)
    model = f"{reranker.plan.scorer}-{reranker.fingerprint[:12]}"
    name = f"weight-{fitting.backbone}-{data.split.id}-{model}" + ("-quick" if quick else "")
    folder = keeper.find(name)
    if folder is None:
        document = {**about, **_choose(reranker, data, fitting, progress)}
        folder = keeper.keep(name, lambda where: files.write_json(where / FILE, document), {"split": data.split.id})
    known = read_document(folder / FILE)
    if any(known[key] != value for key, value in about.items()):
        raise LetheError(
            f"the weight of {known['model']} was chosen with other settings; give --weight, or the same ones"
        )
    return {**about, "weight": known["weight"]}


def _choose(reranker: Reranker, data: Data, fitting: Fitting, progress: Progress) -> dict[str, Any]:
    guard = Guard(data)
    model = fitting.fit(guard.training(data.log.only(Split.TRAIN)), seed=reranker.plan.seed, progress=progress)
    return reranker.weight(model, held_out(data.log, Split.VALID), guard, progress)
