"""Figures as people read them, the same on the command line and on a page."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

VOID = "void"
"""Nothing could be told: what the audit must find was not found, or there was too little to compare."""


def judged(found: Mapping[str, Any]) -> str:
    """How an audit of a method ended over its seeds: ok, over, void, or how many seeds stayed within the limit."""
    verdict = "over" if found["value"] > found["limit"] else VOID if found["void"] else "ok"
    if verdict == "ok" and not found["good"]:
        return f"{found['passed']} of {found['seeds']}"
    return verdict


def attacked(found: Mapping[str, Any]) -> str:
    """How a single verdict ended."""
    return "over" if found["value"] > found["limit"] else VOID if found["void"] else "ok"


def number(value: float | None, digits: int = 4, absent: str = "") -> str:
    """A figure with so many digits behind the point; `absent` where there is none."""
    return absent if value is None or not isfinite(value) else f"{value:.{digits}f}"


def interval(found: Mapping[str, float] | None, digits: int = 3) -> str:
    """A value with its interval, each with so many digits behind the point."""
    if not found:
        return ""
    mean, low, high = (f"{found[name]:.{digits}f}" for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def beside(own: float | None, oracle: float | None) -> str:
    """A figure, and the oracle's in brackets."""
    if own is None:
        return ""
    return f"{own:.3f}" + ("" if oracle is None else f" ({oracle:.3f})")
