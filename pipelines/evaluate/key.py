"""The key that a result is kept by: whoever changes what determines a result looks for another key."""

import hashlib
import json
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from typing import Any


def key_of(spec: Any, harness: int) -> str:
    """64 hexadecimal digits over a spec (a dataclass), the version of its measuring and the version of the code."""
    whole = {**asdict(spec), "harness": harness, "lethe": _version()}
    return hashlib.sha256(json.dumps(whole, sort_keys=True, default=list).encode()).hexdigest()


@cache
def _version() -> str:
    """Of the code; reading it takes longer than a hash."""
    return version("lethe-rec")
