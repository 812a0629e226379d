"""Where the forgotten could come to light: every surface by name, what it reads of an arm, and how it is measured."""

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.compare import asked, forced, listed
from pipelines.compare.case import Case
from pipelines.compare.spec import Scope
from unlearning.concept.cells import Sample

SEARCH = ("hides", "erases")
MODEL = ("fork", "method")

BOTH = tuple(Scope)


@dataclass(frozen=True, slots=True)
class Surface:
    """A place at which to look. The higher its figure, the more of the concept is left there."""

    name: str
    reads: tuple[str, ...]
    """Fields of an arm: arms that do not differ in them share their cells."""
    measure: Callable[[Case], Sample]
    told: str
    scopes: tuple[Scope, ...] = (Scope.EVERYBODY,)
    kept: bool = False
    """Whether its figure is of what must stay, so that more is better."""
    lists: bool = True
    """Whether real people's lists are made for it."""
    settled: bool = False
    """Whether the oracle's figure is the same with any language model: no list of a person concerned holds what the
    catalogue never held, and those who are not concerned are served by the plain model."""

    @property
    def models(self) -> bool:
        """Whether a language model is read."""
        return "fork" in self.reads


SURFACES = {
    one.name: one
    for one in (
        Surface("served list", SEARCH + MODEL, listed.served, "exposure@10 in the list people get", BOTH, settled=True),
        Surface("list by the model alone", SEARCH + MODEL, listed.alone, "exposure@10 with λ = 1", BOTH, settled=True),
        Surface("list by the backbone alone", SEARCH, listed.backbone, "exposure@10 with λ = 0", BOTH),
        Surface("candidates", SEARCH, listed.candidates, "the concept's share of what the search brings", BOTH),
        Surface(
            "forced candidate",
            SEARCH + MODEL,
            forced.forced,
            "a concept item is put before the model: the share of its near neighbours that it is placed above",
        ),
        Surface("forced candidate, title only", SEARCH + MODEL, forced.forced_bare, "the same, titles alone told"),
        Surface(
            "near duplicate",
            SEARCH + MODEL,
            forced.duplicate,
            "the same film as another edition under an id that no filter knows, placed above its near neighbours",
        ),
        Surface(
            "near duplicate in the search",
            (*SEARCH, "absent"),
            listed.doubles,
            "every concept item stands in the catalogue twice: the second ones' share of the text neighbours",
        ),
        Surface(
            "history re-injected",
            SEARCH + MODEL,
            forced.injected,
            "forced candidate, for people into whose history other concept items were put",
        ),
        Surface("answers", MODEL, asked.answers, "share of facts answered exactly, in held-out probes", lists=False),
        Surface(
            "answers, paraphrased", MODEL, asked.paraphrased, "the same in wordings nobody was trained on", lists=False
        ),
        Surface(
            "answers after a history",
            MODEL,
            asked.with_history,
            "the same after concept titles in a history",
            lists=False,
        ),
        Surface("raw base", ("fork",), asked.raw_base, "answers once adapter or prompt is taken off", lists=False),
        Surface("index query", ("absent",), asked.index, "the index file, asked for an item's own title, gives it out"),
        Surface(
            "others' lists",
            SEARCH + MODEL,
            listed.others,
            "RBO of the lists of those who did not ask to what they are without anybody's request; 1 is as before",
            (Scope.PERSON,),
            kept=True,
            settled=True,
        ),
        Surface("quality of the rest", SEARCH + MODEL, listed.quality, "NDCG@10 beside the concept", BOTH, kept=True),
        Surface("other answers", MODEL, asked.other_answers, "facts of other items", kept=True, lists=False),
        Surface("neighbours' answers", MODEL, asked.neighbour_answers, "facts of near items", kept=True, lists=False),
    )
}
"""By name, in the order of the tables."""
