"""The bytes of a data file: read once, bounded, hashed, and decoded only as text."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from db.errors import LetheError
from pipelines.ingest.limits import Limits
from pipelines.ingest.text import reason_of, shown

_PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"PK\x03\x04": ("zip", "unzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ\x00": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that was read: its name without folders, its size, and the sha256 of the very bytes parsed."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Document:
    """A text file in memory. Newlines are as in the file; a byte-order mark is gone."""

    file: SourceFile
    text: str


def read_bytes(path: Path, limits: Limits) -> tuple[SourceFile, bytes]:
    """The whole of a regular file. Raises LetheError for anything else, and for files over the cap."""
    try:
        data = _regular_file(path, limits)
    except (OSError, ValueError) as error:
        raise LetheError(
            f"cannot read {shown(path)}: {reason_of(error)}; check the path and its permissions"
        ) from error
    if not data:
        raise LetheError(f"{shown(path.name)} is empty: give a file with rows")
    name = path.name.encode(errors="replace").decode()  # a name that is not UTF-8 has no other spelling in a database
    return SourceFile(name, len(data), hashlib.sha256(data).hexdigest()), data


def read_text(path: Path, limits: Limits, *, latin1: bool = False) -> Document:
    """A UTF-8 file as text. With `latin1`, bytes that are not UTF-8 are read as latin-1 (old MovieLens files)."""
    file, data = read_bytes(path, limits)
    for magic, (kind, tool) in _PACKED.items():
        if data.startswith(magic):
            raise LetheError(f"{shown(file.name)} is {kind}-compressed: unpack it first ({tool})")
    if data.startswith(_UTF16):
        raise LetheError(f"{shown(file.name)} is UTF-16: save it as UTF-8")
    if (nul := data.find(b"\0")) >= 0:
        raise LetheError(f"{shown(file.name)} line {_line(data, nul)} holds a NUL byte: it is not a text file")
    if (lines := data.count(b"\n")) > limits.rows + 1:  # one for a header
        raise LetheError(f"{shown(file.name)} holds {lines:,} lines, over the cap of {limits.rows:,}: raise the cap")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if not latin1:
            byte = f"0x{data[error.start]:02x}"
            where = f"{shown(file.name)} line {_line(data, error.start)}"
            raise LetheError(f"{where} is not UTF-8 (byte {byte}): save the file as UTF-8") from error
        text = data.decode("latin-1")
    if not text.strip("\r\n"):
        raise LetheError(f"{shown(file.name)} is empty: give a file with rows")
    return Document(file, text)


def folder_files(folder: Path) -> frozenset[str]:
    """The names of a folder's entries. Raises LetheError where it cannot be listed."""
    try:
        return frozenset(entry.name for entry in folder.iterdir())
    except (OSError, ValueError) as error:
        raise LetheError(
            f"cannot list the folder {shown(folder)}: {reason_of(error)}; give a data set's folder"
        ) from error


def _regular_file(path: Path, limits: Limits) -> bytes:
    # Not blocking: a named pipe without a writer would otherwise hang here.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(descriptor)
        if stat.S_ISDIR(facts.st_mode):
            raise LetheError(f"{shown(path)} is a folder where a file is expected: name the file in it")
        if not stat.S_ISREG(facts.st_mode):
            raise LetheError(f"{shown(path)} is not a regular file: copy its contents to one")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(limits.file_bytes + 1) if facts.st_size <= limits.file_bytes else b""
    finally:
        os.close(descriptor)
    if max(len(data), facts.st_size) > limits.file_bytes:
        size = f"{max(len(data), facts.st_size):,} bytes"
        raise LetheError(f"{shown(path)} is larger ({size}) than the cap of {limits.file_bytes:,}: raise the cap")
    return data


def _line(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1
