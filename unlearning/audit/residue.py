"""Looks for what is left of a person under the root and in a database elsewhere: by type, and byte by byte.

A short id such as 42 occurs everywhere by chance, so ids are compared exactly where a format says that a value names a
person, and searched as bytes only when the needle is long enough to mean something.
"""

import hashlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from db.records import UserId, Verdict
from unlearning.audit.decode import UnreadableError, decode
from unlearning.audit.needles import Strings

SHORTEST = 8
"""Bytes below which a match says nothing, and items of a history."""

_CONTROL = range(7, 73, 2)
"""The history of the invented person."""


@dataclass(frozen=True, slots=True)
class Needle:
    """One person's traces: the id as it is typed, and byte strings of at least `SHORTEST` bytes."""

    user: UserId
    strings: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """A place where something of a person is left, or a file that could not be read."""

    path: str
    what: str


def needle(user: UserId, salt: str | None = None, histories: Sequence[Sequence[int]] = ()) -> Needle:
    """The traces of a person: id as text, UTF-16, hex, integer of both endians, hashes; each history as an array.

    A history is given as item keys or rows, and searched in its order and in ascending order, in 4 and 8 bytes. One of
    less than 8 items, or of consecutive ones, says nothing of a person and is left out.
    """
    text = user.encode()
    found = [text, text.hex().encode(), user.encode("utf-16-le"), *_integers(user)]
    found += [hashlib.sha256(text).digest(), hashlib.sha256(text).hexdigest().encode(), hashlib.md5(text).digest()]
    if salt:
        found.append(salt.encode())
    told = [order for history in histories if _telling(history) for order in (list(history), sorted(history))]
    found += [np.asarray(order, dtype=kind).tobytes() for order in told for kind in ("<i8", "<i4")]
    return Needle(user, tuple(dict.fromkeys(string for string in found if len(string) >= SHORTEST)))


def _telling(history: Sequence[int]) -> bool:
    return len(history) >= SHORTEST and max(history) - min(history) >= len(history)


def secret(salt: str) -> Needle:
    """The trace of a salt alone, of somebody whose id rightly stays."""
    return Needle(UserId(""), (salt.encode(),))


def _integers(user: str) -> list[bytes]:
    if not user.isdecimal() or int(user) < 1 << 32:
        return []  # a small number's bytes are mostly zeros, and stand everywhere by chance
    width = (int(user).bit_length() + 7) // 8
    width = max(width, SHORTEST)
    return [int(user).to_bytes(width, "little"), int(user).to_bytes(width, "big")]


def scan(
    root: Path, needles: Iterable[Needle], *, skip: Iterable[Path] = (), also: Iterable[Path] = ()
) -> list[Finding]:
    """Every place under `root`, or in the files `also`, that still holds one of the needles.

    Files that nothing understands are findings too. Those under the root are named from there, others in full.
    """
    wanted, left_out = list(needles), {path.resolve() for path in skip}
    places = [(path, path.relative_to(root).as_posix()) for path in sorted(root.rglob("*"))]
    places += [(path, str(path)) for path in also if not path.resolve().is_relative_to(root.resolve())]
    files = [(path, name) for path, name in places if path.is_file() and path.resolve() not in left_out]
    strings = Strings(string for one in wanted for string in one.strings)
    return [finding for path, name in files for finding in _scan_file(path, name, wanted, strings)]


def verdict(root: Path, needles: Sequence[Needle], *, skip: Iterable[Path] = (), also: Iterable[Path] = ()) -> Verdict:
    """The audit "residue": what `scan` finds, limit 0, with a control planted and found in every format."""
    found = scan(root, needles, skip=skip, also=also)
    planted, seen = control(root)
    detail = "; ".join(f"{f.path}: {f.what}" for f in found[:5]) or f"{len(needles)} people, {planted} controls planted"
    return Verdict(
        "residue", float(len(found)), 0.0, control=float(seen), control_found=seen == planted > 0, detail=detail
    )


def control(root: Path) -> tuple[int, int]:
    """Plant an invented person in every format, scan for them, and clean up: (planted, found)."""
    (root / "tmp").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="control-", dir=root / "tmp"))
    try:
        name = "control-" + hashlib.sha256(folder.name.encode()).hexdigest()[:24]
        person = needle(UserId(name), histories=[_CONTROL])
        plants = _plant(folder, person)
        found = {finding.path for finding in scan(folder, [person])}
        return len(plants), len(found & plants)
    finally:
        shutil.rmtree(folder)


def _plant(folder: Path, person: Needle) -> set[str]:
    import polars as pl

    with closing(sqlite3.connect(folder / "typed.db")) as connection:
        connection.execute("CREATE TABLE people (user_id TEXT)")
        connection.execute("INSERT INTO people VALUES (?)", (person.user,))
        connection.commit()
    pl.DataFrame({"user": [person.user] * 50}).write_parquet(folder / "dictionary.parquet", compression="zstd")
    (folder / "manifest.json").write_text(json.dumps({"users": [{"id": person.user}]}))
    (folder / "rejects.jsonl").write_text(json.dumps({"user_id": person.user}) + "\n")
    (folder / "rejects.csv").write_text(f"line,user\n3,{person.user}\n")
    np.save(folder / "history.npy", np.array(_CONTROL, dtype=np.int64))
    (folder / "text.html").write_text(f"<p>{person.user}</p>")
    (folder / "orphan.tmp").write_bytes(b"\0\1")
    return {path.name for path in folder.iterdir()}


def _scan_file(path: Path, name: str, needles: Sequence[Needle], strings: Strings) -> Iterator[Finding]:
    present: set[str] = set()
    try:
        people = decode(path)
        if people is None:
            yield Finding(name, "a file that no decoder understands")
        present.update(people or ())
    except UnreadableError as error:
        yield Finding(name, f"a file that cannot be read as what its name says: {error}")
    for wanted in needles:
        if wanted.user in present:
            yield Finding(name, "a person's id")
    if strings.in_file(path):
        yield Finding(name, "bytes of a person's traces")
