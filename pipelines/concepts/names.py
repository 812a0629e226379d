"""The names of methods that a request can be unlearned by. Loads no model and no database."""

from db.errors import LetheError
from unlearning.concept.settings import LossName, MaskName

ADAPTERS = (*(f"{loss.value}-{mask.value}" for loss in LossName for mask in MaskName), "negated")
"""Methods that leave an adapter behind, which can be registered and taken off again."""


def check_method(method: str | None) -> None:
    """Refuse a method whose result could not be registered."""
    if method is not None and method not in ADAPTERS:
        raise LetheError(f"method {method} makes no adapter to register: give LOSS-MASK as in npo-guided, or negated")
