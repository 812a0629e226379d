"""Toy evaluations of concepts: a model that knows a few facts, a fork that lacks those of one title, kept cells."""

from functools import cache

from llm.model import LanguageModel
from pipelines.evaluate.keep import FolderKeeper
from pipelines.evaluate_concepts.grid import Grid
from pipelines.evaluate_concepts.run import Lab
from pipelines.evaluate_concepts.subject import Sizes, Subject, named, subject
from tests.pipelines.evaluations import no_bars
from tests.unlearning.concept.knowing import knowing
from tests.unlearning.concept.world import catalogue
from unlearning.concept.attacks.relearn import Budget
from unlearning.concept.base import ProbeKind
from unlearning.concept.probes import ProbeSizes
from unlearning.concept.settings import ConceptSettings

TITLE = "Red River 28"
SETTINGS = ConceptSettings(neurons=8, rank=2, steps=2, forget_rows=4, retain_rows=4, check_every=1)
FEW = Sizes(ProbeSizes(neighbours=6, retained=10, forms=1, people=2, chosen=1), most=8, people=2, judged=1, disguised=1)
SHORT = Budget(steps=(1, 2), rows=2, rank=2)
_SURE = 40
"""Steps after which the toy gives its answers."""


@cache
def toy_subject() -> Subject:
    """A title with few questions."""
    return subject(named(TITLE, catalogue()), catalogue(), seed=0, sizes=FEW)


def base(steps: int = _SURE) -> LanguageModel:
    """Knows the held-out facts of the title and of others; after other steps another training of it."""
    asked = toy_subject().asked
    return knowing((*asked.of(ProbeKind.DIRECT), *asked.of(ProbeKind.RETAIN)), steps=steps)


def fork() -> LanguageModel:
    """The same without the title."""
    return knowing(toy_subject().asked.of(ProbeKind.RETAIN), steps=_SURE)


def saved(model: LanguageModel, folder):
    """A checkpoint on disk."""
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def lab_of(folder, model=None, **more) -> Lab:
    """A lab that keeps its cells in a folder."""
    return Lab(model or base(), catalogue(), FolderKeeper(folder), no_bars, settings=SETTINGS, **more)


def grid(*methods, seeds=1, draws=1, neurons=(8,), attacked=(), **more) -> Grid:
    """A small grid over one title."""
    return Grid(
        (TITLE,), methods, neurons, seeds=seeds, draws=draws, attacked=attacked, sizes=FEW, budget=SHORT, **more
    )
