"""The forgettings of one run: what several parts of a cell read is fitted once, and what can be stored never again."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from db import files
from pipelines.evaluate.keep import Keeper
from pipelines.evaluate_concepts.spec import Part, Spec
from unlearning.concept.base import Forgetting
from unlearning.concept.trained import TrainedAdapter

ADAPTER, COST = "adapter", "cost.json"


@dataclass(frozen=True, slots=True)
class Fitted:
    """A forgetting with what it cost."""

    forgetting: Forgetting
    seconds: float
    size: int | None
    """Bytes of its tensors' file, where it can be stored."""


@dataclass(slots=True)
class Fits:
    """Adapters are kept by what determines them; of all else the last is held: parts of a cell follow one another."""

    held: dict[str, Fitted] = field(default_factory=dict)

    def fitted(self, spec: Spec, keeper: Keeper, fit: Callable[[], Forgetting]) -> Fitted:
        """Fitted now, for an earlier part, or in an earlier run; `fit` fits."""
        own = replace(spec, part=Part.FITTED, other="")
        if own.name not in self.held:
            folder = keeper.find(own.name)
            self.held = {own.name: _made(own, keeper, fit) if folder is None else _read(folder)}
        return self.held[own.name]


def _made(own: Spec, keeper: Keeper, fit: Callable[[], Forgetting]) -> Fitted:
    started = time.perf_counter()
    made = fit()
    seconds = time.perf_counter() - started
    if not isinstance(made, TrainedAdapter):
        return Fitted(made, seconds, None)

    def _write(folder: Path) -> None:
        made.save(folder / ADAPTER)
        files.write_json(folder / COST, {"seconds": seconds})

    kept = keeper.keep(own.name, _write, {"concept": own.concept, "method": own.method, "key": own.key})
    return Fitted(made, seconds, _bytes(kept / ADAPTER))


def _read(folder: Path) -> Fitted:
    seconds = json.loads((folder / COST).read_text(encoding="utf-8"))["seconds"]
    return Fitted(TrainedAdapter.read(folder / ADAPTER), seconds, _bytes(folder / ADAPTER))


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
