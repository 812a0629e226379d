"""How hard a method acts, chosen on selecting probes by the yardstick that stops masked LoRA."""

from collections.abc import Iterable
from typing import TypeVar

from llm.model import LanguageModel
from unlearning.concept.base import Forgetting, Progress, quiet
from unlearning.concept.masked_lora import Check, Watch

F = TypeVar("F", bound=Forgetting)


def best_of(
    model: LanguageModel, candidates: Iterable[F], watch: Watch, *, count: int = 0, progress: Progress = quiet
) -> tuple[F, Check]:
    """The candidate with the least regret, the earliest of equals, and how it did; `count` is for `progress`."""
    before = watch.check(model, 0)
    found: tuple[F, Check] | None = None
    for number, candidate in enumerate(candidates, 1):
        with candidate.applied(model) as changed:
            check = watch.check(changed, number)
        if found is None or check.regret(before) < found[1].regret(before):
            found = candidate, check
        progress(number, max(count, number))
    if found is None:
        raise ValueError("no candidate to choose among")
    return found


def told(check: Check) -> dict[str, int | float | str]:
    """Figures of the chosen candidate, under the names that masked LoRA gives them."""
    return {
        "select_probability": round(check.forgotten, 4),
        "select_leaked": round(check.leaked, 4),
        "select_kept": round(check.kept_exact, 4),
    }
