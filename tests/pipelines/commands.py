"""Runs `lethe` commands inside the test's process, on a small made-up data set."""

import hashlib
import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from sqlalchemy import select

from db.load import load_log
from db.records import UserId
from db.schema import metadata
from db.store import Store
from pipelines.cli.app import main

GENRES = ("Comedy", "Horror", "Drama")
PEOPLE = tuple(UserId(hashlib.md5(b"person %d" % n).hexdigest()) for n in range(40))
"""128-bit ids: long enough that their bytes stand nowhere by chance."""

ITEMS = tuple(f"f{n:02d}" for n in range(30))
SOMEBODY, OTHER, THIRD = PEOPLE[7], PEOPLE[8], PEOPLE[9]


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it said where."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document, in the strict sense: no NaN."""
        return json.loads(self.out, parse_constant=_refused)


@dataclass
class Lethe:
    """A root, and the command line pointed at it."""

    root: Path
    url: str | None = None
    stores: list[Store] = field(default_factory=list)

    def __call__(self, *words: object, stdin: bytes = b"") -> Outcome:
        """Run one command as the installed program would; an exception that is not an exit is the test's to see."""
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        argv = ["lethe", *(str(word) for word in words)]
        source = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
        status = 0
        with patch.object(sys, "argv", argv), patch.object(sys, "stdin", source):
            try:
                with redirect_stdout(out), redirect_stderr(err):
                    main()
            except SystemExit as ended:
                status = int(ended.code or 0)
        return Outcome(status, *(stream.buffer.getvalue().decode() for stream in (out, err)))

    def ok(self, *words: object, stdin: bytes = b"") -> Outcome:
        """The same; it must end well."""
        outcome = self(*words, stdin=stdin)
        assert outcome.status == 0, outcome.err + outcome.out
        return outcome

    def read(self, *words: object) -> Any:
        """The JSON of a command that must end well."""
        return self.ok(*words, "--json").json

    @property
    def store(self) -> Store:
        """The store behind the root."""
        if not self.stores:
            self.stores.append(Store.open(self.root, self.url))
        return self.stores[0]

    def close(self) -> None:
        """Let go of the database."""
        while self.stores:
            self.stores.pop().close()


def _refused(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def write_data(folder: Path) -> None:
    """`interactions.csv` and `items.csv`: 40 people with one favourite genre each, 30 items."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(11)
    rows = ["user_id,item_id,rating,timestamp"]
    for person, user in enumerate(PEOPLE):
        for n, item in enumerate(ITEMS):
            if rng.random() < (0.85 if n % 3 == person % 3 else 0.2):
                rows.append(f"{user},{item},{rng.integers(3, 6)},{800_000_000 + int(rng.integers(10**8))}")
    (folder / "interactions.csv").write_text("\n".join(rows) + "\n")
    goods = [f"{item},Film number {n},{1970 + n},{GENRES[n % 3]}" for n, item in enumerate(ITEMS)]
    (folder / "items.csv").write_text("\n".join(["item_id,title,year,genres", *goods]) + "\n")


def ingest_words(folder: Path) -> tuple[object, ...]:
    """The words of the command that reads what `write_data` wrote."""
    return ("ingest", "files", "--interactions", folder / "interactions.csv", "--items", folder / "items.csv")


def logical_dump(store: Store) -> str:
    """A hash of every row of every table."""
    digest = hashlib.sha256()
    with store.reading() as unit:
        for table in metadata.sorted_tables:
            rows = sorted(repr(tuple(row)) for row in unit.connection.execute(select(table)))
            digest.update(repr((table.name, rows)).encode())
    return digest.hexdigest()


def files_under(root: Path) -> dict[str, str]:
    """Every file that a reader could see, with its hash; the database's own and locks left out."""
    found = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in found
        if not path.name.startswith("lethe.db") and path.suffix != ".lock"
    }


@dataclass(frozen=True)
class History:
    """One person's visible interactions, oldest first: (rating, timestamp) by item."""

    items: dict[str, tuple[float, int]]

    def __len__(self) -> int:
        return len(self.items)


def history(lethe: Lethe, user: str) -> History:
    """What a reader sees of a person."""
    with lethe.store.reading() as unit:
        log = load_log(unit)
    rows = log.user == log.users.index(UserId(user))
    found = zip(log.item[rows], log.rating[rows], log.timestamp[rows], strict=True)
    return History({log.items[item]: (float(rating), int(at)) for item, rating, at in found})


def forgotten(lethe: Lethe, user: str, *more: object) -> str:
    """Forget a person, or what the other words name; returns the request's id."""
    (made,) = lethe.read("forget", "user", user, *more)
    assert made["state"] == "shielded"
    return str(made["id"])


def subjects_file(lethe: Lethe) -> Path:
    """Where `erased` has the subjects' certificates written."""
    return lethe.root.parent / "subjects.json"


def erased(lethe: Lethe, *more: object) -> list[dict[str, Any]]:
    """Erase every open request; returns the subjects' certificates of this run."""
    done = lethe.read("erase", "--certificate", subjects_file(lethe), *more)["requests"]
    held = json.loads(subjects_file(lethe).read_text())["certificates"] if done else []
    return [document for document in held if document["request"] in done]
