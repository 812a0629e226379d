"""How a checkpoint was built and what it can do, kept beside it as `record.json`."""

import hashlib
import json
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from db.errors import LetheError
from db.files import write_atomic

RECORD = "record.json"


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """The build record of a checkpoint. The command, with `--steps` as recorded, builds it again."""

    command: str
    seed: int
    items: int
    without: tuple[str, ...]
    corpus_sha256: str
    """Over the text of the lessons that were read, one a step."""
    tokens: int
    steps: int
    finished: bool
    """False for a checkpoint taken before the last step."""
    seconds: float
    parameters: int
    device: str
    versions: dict[str, str]
    settings: dict[str, float]
    sha256: dict[str, str]
    """Of every other file of the checkpoint, by name."""
    evaluation: dict[str, float] = field(default_factory=dict)
    start: dict[str, Any] = field(default_factory=dict)
    """The record of the checkpoint that the training continued, without its evaluation; empty for a new model."""

    @property
    def first_without(self) -> tuple[str, ...]:
        """What was left out at the very first start; the forks of a later stage all have it in common."""
        stage: dict[str, Any] = asdict(self)
        while stage["start"]:
            stage = stage["start"]
        return tuple(stage["without"])

    def write(self, folder: Path) -> None:
        """Write the record into a checkpoint folder, whole or not at all."""
        text = json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"
        write_atomic(folder / RECORD, lambda path: path.write_text(text, encoding="utf-8"))

    @staticmethod
    def read(folder: Path) -> "BuildRecord":
        """The record of a checkpoint folder."""
        path = folder / RECORD
        if not path.is_file():
            raise LetheError(f"no {RECORD} in {folder}: build the checkpoint with python -m llm.tiny.train")
        values = json.loads(path.read_text(encoding="utf-8"))
        return BuildRecord(**{**values, "without": tuple(values["without"])})


def unfinished(folder: Path) -> bool:
    """Whether a folder holds a checkpoint of a training that has not ended. One without a record, or with somebody
    else's file of that name, says nothing of it.

    >>> unfinished(Path("/nowhere"))
    False
    """
    try:
        known = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(known, dict) and known.get("finished") is False


def versions() -> dict[str, str]:
    """The versions that bear on the weights."""
    libraries = {name: version(name) for name in ("numpy", "safetensors", "tokenizers", "torch", "transformers")}
    return {"python": platform.python_version(), **libraries}


def device_name(device: torch.device) -> str:
    """What the model was trained on, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a checkpoint but its record, by name."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != RECORD)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
