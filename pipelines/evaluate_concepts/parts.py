"""The parts of a cell: which of them a method has, and by what each is measured."""

from collections.abc import Iterator
from typing import Protocol

from llm.model import LanguageModel
from pipelines.evaluate_concepts import attacked, measures
from pipelines.evaluate_concepts.cells import Measured
from pipelines.evaluate_concepts.measures import Case
from pipelines.evaluate_concepts.spec import BASE, REPLICATE, Part, Spec
from unlearning.concept.base import Progress


class Ranks(Protocol):
    """Orders lists of real people with a forgetting applied."""

    @property
    def key(self) -> str:
        """Digest of everything that determines the lists but for the model."""
        ...

    def __call__(self, case: Case, progress: Progress) -> Measured:
        """One row a person and measure."""
        ...


def of_method(method: str, *, oracle: bool, attack: bool, rank: bool) -> Iterator[Part]:
    """What is measured of a method, in order. Depth is measured where there is an `oracle` beside it: of an oracle
    itself beside another one, which says how far two models that never met a concept are apart. The base alone says how
    it chooses where a title does not exist. A replicate says how far training again moves what is asked: no more."""
    yield Part.EXAMINED
    if method == BASE:
        yield Part.UNMET
    if oracle and method not in (BASE, REPLICATE):
        yield Part.DEEP
    if rank:
        yield Part.RANKED
    if attack:
        yield Part.ATTACKED


def measure(
    spec: Spec, case: Case, *, oracle: LanguageModel | None, ranks: Ranks | None, progress: Progress
) -> Measured:
    """Measure one part of one cell."""
    if spec.part is Part.ATTACKED:
        return attacked.measured(case, method=spec.method, progress=progress)
    if spec.part is Part.UNMET:
        return measures.unmet(case)
    if spec.part is Part.DEEP and oracle is not None:
        return measures.deep(case, oracle)
    if spec.part is Part.RANKED and ranks is not None:
        return ranks(case, progress)
    return measures.examined(case)
