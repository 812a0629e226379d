"""How concepts are unlearned in this root: the table `[concept]` of lethe.toml, its sizes, settings and gates."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from db.errors import LetheError
from pipelines.concepts.names import check_method
from pipelines.config import stored_settings
from pipelines.evaluate_concepts.subject import Sizes
from unlearning.concept.gates import Gates
from unlearning.concept.probes import ProbeSizes
from unlearning.concept.settings import ADAPTER, ConceptSettings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ConceptPlan:
    """Method and settings of a training, and the thresholds that an adapter must keep to be registered."""

    method: str = ADAPTER
    sizes: Sizes = field(default_factory=Sizes)
    """How much is taught and asked."""
    settings: ConceptSettings = field(default_factory=ConceptSettings)
    gates: Gates = field(default_factory=Gates)

    def __post_init__(self) -> None:
        check_method(self.method)


def load_concept_plan(root: Path, *, method: str | None = None) -> ConceptPlan:
    """The tables of ROOT/lethe.toml, with the method of the command line over them.

    Raises LetheError naming the first key or value that does not fit.
    """
    stored = dict(stored_settings(root).get("concept", {}))
    where = f"{root / 'lethe.toml'}: concept"
    sizes = dict(stored.get("sizes", {}))
    probes = filled(ProbeSizes, sizes.get("probes", {}), f"{where}.sizes.probes")
    parts = {
        "sizes": filled(Sizes, {**sizes, "probes": probes}, f"{where}.sizes"),
        "settings": filled(ConceptSettings, stored.get("settings", {}), f"{where}.settings"),
        "gates": filled(Gates, stored.get("gates", {}), f"{where}.gates"),
    }
    given = {} if method is None else {"method": method}
    return filled(ConceptPlan, {**stored, **parts, **given}, where)


def filled(kind: type[T], stored: Mapping[str, Any], where: str) -> T:
    """A dataclass of stored values; a LetheError names the first key or value that does not fit, at its place."""
    known = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    unknown = [key for key in stored if key not in known]
    if unknown:
        raise LetheError(f"{where}.{unknown[0]} is no setting; known: {', '.join(known)}")
    try:
        return TypeAdapter(kind).validate_python(dict(stored))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise LetheError(f"{where}.{key} is {problem['input']!r:.60}: {problem['msg'].lower()}") from error
