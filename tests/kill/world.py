"""A small trained root, and `lethe` run on it as a process that can be killed or stopped at any of its points."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

PEOPLE, ITEMS, ROWS = 36, 30, 12
GENRES = ("Drama", "Comedy", "Horror", "Western")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")

_RNG = random.Random(7)
USERS = tuple(f"{_RNG.getrandbits(128):032x}" for _ in range(PEOPLE))
"""Ids of 128 bits: where one is found, it is no chance."""
EARLIER, SUBJECT, PARTLY, LATE = USERS[3], USERS[11], USERS[20], USERS[5]
"""Erased before every case; forgotten whole; asked to forget one category; comes while another command runs."""


@dataclass(frozen=True)
class Ended:
    """How a process ended, or that it stopped; what it wrote; and the points that it reached."""

    process: int
    status: int | str
    out: str
    err: str
    points: tuple[str, ...]

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it, before it ended by itself and after something was made durable."""
        return self.status == "killed" and bool(self.points)


@dataclass
class World:
    """A folder with source files, the root, and pristine copies of the root to begin each case from."""

    folder: Path
    mutant: str | None = None
    server: Any = field(default=None, repr=False)
    effective: int = 0
    """Kills that hit."""
    expected: dict[str, Any] = field(default_factory=dict, repr=False)
    """What undisturbed runs came to."""

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @cached_property
    def certificate(self) -> Path:
        return self.folder / "handed-over.json"

    def lethe(self, *command: str, kill_at: int = 0, stop_at: int = 0) -> Ended:
        """Run a command on the root until it ends, is killed, or stops."""
        out = self.folder / "process.txt" if not stop_at else self.folder / "stopped.txt"
        order = {"command": [*command, "--root", str(self.root)], "watched": str(self.folder), "out": str(out)}
        answer = self._ask({**order, "mutant": self.mutant, "kill_at": kill_at, "stop_at": stop_at})
        ended = self._ended(answer, out)
        self.effective += ended.killed
        return ended

    def go_on(self, stopped: Ended) -> Ended:
        """Let a stopped process run to its end."""
        return self._ended(self._ask({"go_on": stopped.process}), self.folder / "stopped.txt")

    def right(self, *command: str) -> Ended:
        """Run a command that has to succeed, by the program as it should be."""
        mutant, self.mutant = self.mutant, None
        try:
            ended = self.lethe(*command)
        finally:
            self.mutant = mutant
        assert ended.status == 0, f"{command} ended with {ended.status}: {ended.err}"
        return ended

    def begin(self, pristine: str) -> None:
        """The root as it was kept under this name."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.certificate.unlink(missing_ok=True)
        shutil.copytree(self.folder / pristine, self.root)

    def keep(self, pristine: str) -> None:
        """Keep the root as it is now."""
        shutil.copytree(self.root, self.folder / pristine)

    def close(self) -> None:
        """End the server."""
        self.server.stdin.close()
        self.server.wait(timeout=30)

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        answer: dict[str, Any] = json.loads(self.server.stdout.readline())
        return answer

    def _ended(self, answer: dict[str, Any], out: Path) -> Ended:
        texts = [out.with_suffix(suffix).read_text() for suffix in (".out", ".err", ".trace")]
        return Ended(answer["process"], answer["status"], texts[0], texts[1], tuple(texts[2].splitlines()))


def made(folder: Path) -> World:
    """A world with pristine roots: "empty", "trained" (lists published, one person erased), "asked" (two requests
    open), and "asked of bpr" and "asked of shards", where the backbone is BPR, in shards or not."""
    _write_sources(folder)
    world = World(folder, server=_served())
    (folder / "empty").mkdir()
    for more, trained, asked in (
        (("--backbone", "ease"), "trained", "asked"),
        (("--backbone", "bpr"), "trained bpr", "asked of bpr"),
        (("--backbone", "bpr", "--shards", "5"), "trained shards", "asked of shards"),
    ):
        world.begin("empty")
        (world.root / "lethe.toml").write_text('chunk = 7\nscorer = "off"\nretrieve = "backbone"\ncandidates = 15\n')
        world.right("ingest", *sources(folder, "first"))
        world.right("train", *more)
        world.right("recommend", "--all")
        world.right("forget", "user", EARLIER)
        world.right("erase")
        world.keep(trained)
        world.right("forget", "user", SUBJECT)
        world.right("forget", "user", PARTLY, "--category", "Drama")
        world.keep(asked)
    return world


def sources(folder: Path, name: str) -> Sequence[str]:
    """The arguments that ingest one of the two data sets: "first", or "more" (half new, half known)."""
    return ("files", "--interactions", str(folder / f"{name}.csv"), "--items", str(folder / "items.csv"))


def surroundings() -> dict[str, str]:
    """Of every process here: no root or database of the caller's, one thread (a fork keeps no others), our packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LETHE_")}
    return {**kept, **dict.fromkeys(ONE_THREAD, "1"), "PYTHONPATH": str(Path(__file__).parents[2])}


def _write_sources(folder: Path) -> None:
    lines = ["item_id,title,year,genres"]
    lines += [f"i{n},Film number {n},{1960 + n},{GENRES[n % len(GENRES)]}" for n in range(ITEMS)]
    (folder / "items.csv").write_text("\n".join(lines) + "\n")
    rng = random.Random(11)
    rows = [
        f"{user},i{item},{rng.randint(1, 5)},{1_000_000 + 97 * place + 31 * PEOPLE * n}"
        for place, user in enumerate(USERS)
        for n, item in enumerate(_taste(rng, place))
    ]
    newcomers = [f"{rng.getrandbits(128):032x},i{n % ITEMS},4,{2_000_000 + n}" for n in range(150)]
    head = "user_id,item_id,rating,timestamp"
    (folder / "first.csv").write_text("\n".join([head, *rows]) + "\n")
    (folder / "more.csv").write_text("\n".join([head, *rows[::2], *newcomers]) + "\n")


def _taste(rng: random.Random, place: int) -> list[int]:
    liked = [n for n in range(ITEMS) if n % 4 == place % 4]
    return rng.sample(liked, 5) + rng.sample([n for n in range(ITEMS) if n not in liked], ROWS - 5)


def _served() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.kill.server"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=surroundings())
