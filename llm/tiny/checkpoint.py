"""Where the embedded model lies, and that it is whole."""

from pathlib import Path

from db.errors import LetheError
from llm.tiny.record import BuildRecord, hashes

NAME = "lethe-tiny"


def checkpoint_path() -> Path:
    """The folder of the checkpoint that ships with the package; the model name "lethe-tiny" stands for it."""
    return Path(__file__).parent / "checkpoint"


def verify(folder: Path) -> BuildRecord:
    """The build record of a checkpoint whose files are exactly those recorded; anything else is refused."""
    record = BuildRecord.read(folder)
    found = hashes(folder)
    differing = sorted(name for name in found.keys() | record.sha256 if found.get(name) != record.sha256.get(name))
    if differing:
        raise LetheError(f"{differing[0]} in {folder} differs from the build record: restore or rebuild the checkpoint")
    return record
