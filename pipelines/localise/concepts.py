"""Contrast prompts of concepts: a title, franchise or genre beside controls of its kind, in the same wordings."""

from collections.abc import Mapping, Sequence

from db.records import Item
from pipelines.evaluate_concepts.subject import SHORT, named, subject
from unlearning.concept.base import Probe
from unlearning.concept.choosing import contrast_pairs


def prompts(names: Sequence[str], catalogue: Sequence[Item], *, seed: int) -> Mapping[str, Sequence[Probe]]:
    """By name. Raises LetheError for a name that is nothing in the catalogue."""
    made = (subject(named(name, catalogue), catalogue, seed=seed, sizes=SHORT) for name in names)
    return {one.concept.name: contrast_pairs(one.lesson, seed=seed) for one in made}
