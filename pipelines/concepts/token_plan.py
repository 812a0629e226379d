"""How ids are moved in this root: the table `[tokens]` of lethe.toml, its method, settings and gates."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from db.errors import LetheError
from pipelines.concepts.plan import filled
from pipelines.config import stored_settings
from unlearning.tokens.case import TokenSettings
from unlearning.tokens.gates import Gates
from unlearning.tokens.methods import METHODS, TRACER

T = TypeVar("T")

SERVED = TokenSettings(steps=90)
"""Fewer steps than the comparison: a recommender that serves has learned the rows by which its gates judge it, and with
more forgetting it unlearns them (docs/experiments.md)."""

KEEPS_IDS = ("trie-removal", "suppression")
"""Methods that leave nothing to register."""


@dataclass(frozen=True, slots=True)
class TokenPlan:
    """Method and settings of a move, and the thresholds that it must keep to be served."""

    method: str = TRACER
    settings: TokenSettings = SERVED
    gates: Gates = field(default_factory=Gates)

    def __post_init__(self) -> None:
        known = [name for name in METHODS if name not in KEEPS_IDS]
        if self.method not in known:
            raise LetheError(f"method {self.method} makes no ids to register: give {', '.join(known)}")


def load_token_plan(root: Path, *, method: str | None = None) -> TokenPlan:
    """The table of ROOT/lethe.toml, with the method of the command line over it.

    Raises LetheError naming the first key or value that does not fit.
    """
    where = f"{root / 'lethe.toml'}: tokens"
    stored = stored_settings(root).get("tokens", {})
    parts = _table(stored, where)
    own = _table(parts.get("settings", {}), f"{where}.settings")
    settings = _checked(TokenSettings, {**asdict(SERVED), **own}, f"{where}.settings")
    gates = _checked(Gates, parts.get("gates", {}), f"{where}.gates")
    given = {} if method is None else {"method": method}
    return filled(TokenPlan, {**stored, "settings": settings, "gates": gates, **given}, where)


def _checked(kind: type[T], stored: Any, where: str) -> T:
    """What a table says of its own values is told with its name before it."""
    try:
        return filled(kind, _table(stored, where), where)
    except LetheError as error:
        raise LetheError(str(error) if str(error).startswith(where) else f"{where}.{error}") from error


def _table(stored: Any, where: str) -> dict[str, Any]:
    if not isinstance(stored, dict):
        raise LetheError(f"{where} is {stored!r:.60}: give a table")
    return stored
