"""The oracle: a decoder that never met the concept's items, with every id still in its trie."""

from db.errors import LetheError
from recsys.semantic_ids.training import SemanticIdFitter, SemanticSettings
from unlearning.tokens.case import Case, Progress, Retokened


def oracle(
    case: Case, settings: SemanticSettings, *, seed: int, progress: Progress = lambda done, total: None
) -> Retokened:
    """Trained from scratch on histories without the concept's items; ids and trie are the old ones, whole.

    Raises LetheError where nobody met anything else.
    """
    log = case.without()
    if not len(log):
        raise LetheError("nobody met anything but this concept: there is no oracle of it")
    ids = (case.model.tokenizer, case.model.table)
    made = SemanticIdFitter(settings).decoded(log, ids, seed=seed, progress=progress)
    return Retokened(made.backbone, facts={"epochs": float(made.epoch)})
