"""The forgettings of one run: what several parts of a cell read is fitted once."""

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from llm.model import LanguageModel
from pipelines.evaluate_concepts.spec import Spec
from unlearning.concept.base import ConceptUnlearner, Forgetting, Lesson, Progress
from unlearning.concept.trained import TrainedAdapter


@dataclass(frozen=True, slots=True)
class Fitted:
    """A forgetting with what it cost."""

    forgetting: Forgetting
    seconds: float
    size: int | None
    """Bytes of its tensors' file, where it can be stored."""


@dataclass(slots=True)
class Fits:
    """The last forgetting is held: the parts of a cell come one after another."""

    held: dict[tuple[object, ...], Fitted] = field(default_factory=dict)

    def fitted(
        self, spec: Spec, method: ConceptUnlearner, model: LanguageModel, lesson: Lesson, progress: Progress
    ) -> Fitted:
        """Fitted now, or for an earlier part."""
        key = (spec.model, spec.subject, spec.method, tuple(spec.settings.items()), spec.seed)
        if key not in self.held:
            self.held.clear()
            started = time.perf_counter()
            made = method.fit(model, lesson, seed=spec.seed, progress=progress)
            seconds = time.perf_counter() - started
            self.held[key] = Fitted(made, seconds, _bytes(made))
        return self.held[key]


def _bytes(forgetting: Forgetting) -> int | None:
    """What it takes on disk as an adapter; None where nothing is stored."""
    if not isinstance(forgetting, TrainedAdapter):
        return None
    with tempfile.TemporaryDirectory() as folder:
        place = forgetting.save(Path(folder) / "adapter")
        return sum(file.stat().st_size for file in place.glob("*.safetensors"))
