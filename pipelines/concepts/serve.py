"""What forgotten concepts change in a recommendation: hidden items for some or all, and adapters on the model."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from db import artifacts, concepts, files
from db.artifacts import Artifact
from db.errors import LetheError
from db.records import ConceptId, ConceptRequest, ConceptState, Item, Layer, UserId
from db.store import Unit
from llm.ranking import Ranking
from llm.score.base import Scorer
from recsys.candidates import FloatArray, IntArray
from retrieval.context import Context
from retrieval.retrieve import NONE, hide

if TYPE_CHECKING:
    from llm.adapter_file import AdapterFile
    from llm.adapters import Attached
    from llm.model import LanguageModel


Rank = Callable[[Sequence[Context], Sequence[FloatArray]], list[Ranking]]


@runtime_checkable
class Judge(Protocol):
    """A scorer that asks a language model."""

    model: "LanguageModel"


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The concepts that hold, over the item rows of one catalogue, and the adapters that are attached for them."""

    requests: tuple[ConceptRequest, ...] = ()
    hidden: Mapping[UserId | None, IntArray] | None = None
    """Item rows hidden from everybody (None) and from one person's requests beside those."""
    adapters: Mapping[int, Artifact] | None = None
    """By the key that a request names."""
    attached: "Attached | None" = None

    def over(self, items: Sequence[Item]) -> "Forgotten":
        """The same, hiding rows of this catalogue."""
        place = {item.id: row for row, item in enumerate(items)}
        hidden: dict[UserId | None, IntArray] = {}
        for request in self.requests:
            rows = [place[item] for item in request.items if request.hides and item in place]
            hidden[request.user] = np.union1d(hidden.get(request.user, NONE), np.array(rows, np.int64)).astype(np.int64)
        return replace(self, hidden=hidden)

    def rows(self, user: UserId) -> IntArray:
        """Item rows that this person is not offered and that count as no history of theirs."""
        found = self.hidden or {}
        return np.union1d(found.get(None, NONE), found.get(user, NONE)).astype(np.int64)

    def visible(self, user: UserId, history: IntArray) -> IntArray:
        """The history without what is hidden, in the same order."""
        return hide(history, self.rows(user))

    def closed(self, user: UserId, history: IntArray) -> IntArray:
        """What the search must not find: the history, and what is hidden."""
        return np.union1d(history, self.rows(user)).astype(np.int64)

    def of(self, user: UserId) -> list[ConceptRequest]:
        """The requests that hold for this person."""
        return [request for request in self.requests if request.user in (None, user)]

    def names(self, user: UserId) -> list[str]:
        """The concepts that this person is served without: nothing of them is offered, or shown to a model."""
        return [request.name for request in self.of(user) if request.hides]

    def weakened(self, user: UserId) -> list[str]:
        """The concepts whose items can still be offered, by a model that forgot them or under ids that moved."""
        acting = (one for one in self.of(user) if one.state is ConceptState.UNLEARNED and not one.hides)
        return [request.name for request in acting]

    def groups(self, people: Iterable[UserId]) -> dict[tuple[str, ...], list[int]]:
        """Places of people who share a set of adapters, by that set."""
        found: dict[tuple[str, ...], list[int]] = {}
        for place, user in enumerate(people):
            acting = () if self.attached is None else tuple(_label(one) for one in self.of(user) if unlearned(one))
            found.setdefault(acting, []).append(place)
        return found

    def ranked(self, contexts: Sequence[Context], scores: Sequence[FloatArray], rank: Rank) -> list[Ranking]:
        """A ranking for each context, in their order, by the model as the concepts that its person forgot leave it."""
        found: dict[int, Ranking] = {}
        for adapters, places in self.groups([context.user for context in contexts]).items():
            with self.serving(adapters):
                ranked = rank([contexts[place] for place in places], [scores[place] for place in places])
            found.update(zip(places, ranked, strict=True))
        return [found[place] for place in range(len(contexts))]

    @contextmanager
    def serving(self, adapters: Sequence[str]) -> Iterator[None]:
        """Within the context exactly these adapters act on the model."""
        if self.attached is None:
            yield
            return
        with self.attached.serving(adapters):
            yield

    def attach(self, root: Path, scorer: Scorer | None) -> "Forgotten":
        """The same with every adapter on the scorer's model. Raises LetheError rather than serve the base instead.

        Without a scorer no model is asked, and none is changed.
        """
        wanted = self._unlearned()
        if scorer is None or not wanted:
            return self
        if not isinstance(scorer, Judge):
            raise LetheError(f"scorer {scorer.name} takes no adapters: choose another, or restore the concepts")
        from llm.adapters import attach  # brings PEFT, which nobody needs who forgot nothing

        read = [_read(root, request, self.adapters or {}) for request in wanted]
        return replace(self, attached=attach(scorer.model, read))

    def acting(self, root: Path, model: "LanguageModel", *, but: ConceptId) -> "list[AdapterFile]":
        """The adapters that serve on this model, but for one request's. LetheError where one is damaged.

        Those that were made for another model are left out: they serve no more.
        """
        read = [_read(root, request, self.adapters or {}) for request in self._unlearned() if request.id != but]
        return [one for one in read if one.card.base == model.fingerprint]

    def _unlearned(self) -> list[ConceptRequest]:
        return [request for request in self.requests if unlearned(request)]


def unlearned(request: ConceptRequest) -> bool:
    """Whether an adapter acts for it on the language model."""
    return request.state is ConceptState.UNLEARNED and request.adapter is not None and request.layer is not Layer.TOKENS


def read_forgotten(unit: Unit, people: Iterable[UserId] | None = None) -> Forgotten:
    """The concepts that hold now for everybody and for these people (None: for all who asked); nothing is attached."""
    wanted = None if people is None else {None, *people}
    found = tuple(r for r in concepts.every(unit) if wanted is None or r.user in wanted)
    return Forgotten(
        found, adapters={r.adapter: artifacts.get(unit, r.adapter) for r in found if r.adapter is not None}
    )


def whole(root: Path, artifact: Artifact) -> bool:
    """Whether an adapter's bytes are as they were registered."""
    path = root / artifact.path
    return path.is_dir() and files.sha256(path) == artifact.sha256


def _label(request: ConceptRequest) -> str:
    return request.name if request.user is None else f"{request.name} (request {request.id})"


def _read(root: Path, request: ConceptRequest, known: Mapping[int, Artifact]) -> "AdapterFile":
    from llm.adapter_file import read_adapter

    artifact = known[request.adapter or 0]
    if not whole(root, artifact):
        raise LetheError(
            f"the adapter of {request.name!r} is not as it was registered: forget the concept again, or restore it"
        )
    found = read_adapter(root / artifact.path)
    return replace(found, card=replace(found.card, concept=_label(request)))
