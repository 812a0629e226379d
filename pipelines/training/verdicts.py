"""Verdicts on a model as its generation keeps them in its settings, from before the switch to it."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from db.records import Verdict

AUDITS = "audits"
"""In the settings of a backbone: the verdicts on it."""


def kept(found: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Verdicts as settings keep them."""
    return [{**asdict(verdict), "control_found": bool(verdict.control_found)} for verdict in found]


def told(settings: Mapping[str, Any]) -> list[Verdict]:
    """The verdicts on the generation that has these settings."""
    return [Verdict(**held) for held in settings.get(AUDITS, ())]


def unable(audit: str, why: str) -> Verdict:
    """An audit that was asked for and could not be run: void, with the reason."""
    return Verdict(audit, 0.0, 0.0, detail=f"not run: {why}")
