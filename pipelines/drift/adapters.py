"""The models before and after: the base, and the adapters of concepts that everybody is served without."""

from collections.abc import Mapping

from db.store import Store
from llm.model import LanguageModel
from llm.score.naive import NaiveScorer
from pipelines.concepts.serve import Forgotten, read_forgotten, unlearned


def attached(store: Store, model: LanguageModel) -> tuple[Forgotten, Mapping[str, str]]:
    """Every global concept's adapter on the model, none of them acting, and the hash of each by concept.

    Raises LetheError where one does not fit the model or is not as it was registered.
    """
    with store.reading() as unit:
        found = read_forgotten(unit, people=())
    known = found.adapters or {}
    adapters = {one.name: known[one.adapter].sha256 for one in found.requests if unlearned(one) and one.adapter}
    return found.attach(store.root, NaiveScorer(model)), adapters
