"""Durable files: written whole or not at all, hashed, and destroyed for good."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary sibling, then put it in place durably; a kill leaves the old file or the new."""
    temporary = path.with_name(path.name + ".tmp")
    write(temporary)
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write one JSON document atomically."""
    text = _json(value)
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_all(documents: Mapping[Path, Any]) -> None:
    """Write JSON documents, each whole or not at all and durably; folders are made, and synced once for all of them."""
    for folder in {path.parent for path in documents}:
        folder.mkdir(parents=True, exist_ok=True)
    for path, value in documents.items():
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(_json(value), encoding="utf-8")
        _sync(temporary)
        temporary.replace(path)
    for folder in {path.parent for path in documents}:
        _sync(folder)


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` when the block ends well, and is destroyed when it does not."""
    temporary = folder.with_name(folder.name + ".tmp")
    destroy(temporary)
    destroy(folder)  # an orphan of a killed run: it was renamed, but never registered
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for path in sorted(temporary.rglob("*")):
            _sync(path)
        _sync(temporary)
        temporary.replace(folder)
        _sync(folder.parent)
    finally:
        destroy(temporary)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes, or of a folder's files (names relative to it, and bytes, in name order)."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        if file != path:
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as handle:
            while block := handle.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def destroy(path: Path) -> None:
    """Remove a file or a folder; absent is fine. Freed disk blocks are beyond reach and said so in certificates."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if path.parent.is_dir():
        _sync(path.parent)


def destroy_all(paths: Iterable[Path]) -> None:
    """Remove files; absent ones are fine. Their folders are synced once."""
    gone = list(paths)
    for path in gone:
        path.unlink(missing_ok=True)
    for folder in {path.parent for path in gone}:
        if folder.is_dir():
            _sync(folder)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
