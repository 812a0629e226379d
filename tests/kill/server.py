"""Runs `lethe` commands as processes of their own, forked from one that has imported everything already.

Reads one JSON order a line from standard input and answers each with one line. An order runs a command line until its
process ends or stops itself, or lets a stopped one go on.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

IMPORTED = (
    "alembic.command",
    "db.migrate",
    "faiss",
    "pipelines.cli.app",
    "pipelines.doctor",
    "pipelines.engine",
    "pipelines.erase",
    "pipelines.ingest.job",
    "pipelines.ingest.read",
    "pipelines.train",
    "pipelines.verify",
    "polars",
    "recsys.recbole_models",
    "scipy.linalg",
    "tests.kill.mutants",
    "tests.kill.points",
    "unlearning.data.scif",
)


def main() -> None:
    """Serve until standard input ends."""
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        process = order["go_on"] if "go_on" in order else _fork(order)
        if "go_on" in order:
            os.kill(process, signal.SIGCONT)
        _, status = os.waitpid(process, os.WUNTRACED)
        sys.stdout.write(json.dumps({"process": process, "status": _word(status)}) + "\n")
        sys.stdout.flush()


def _word(status: int) -> int | str:
    if os.WIFSTOPPED(status):
        return "stopped"
    code = os.waitstatus_to_exitcode(status)
    return "killed" if code == -signal.SIGKILL else code


def _fork(order: dict[str, Any]) -> int:
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        _redirect(Path(order["out"]))
        code = _run(order)
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(out: Path) -> None:
    for target, suffix in ((1, ".out"), (2, ".err")):
        handle = os.open(out.with_suffix(suffix), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, target)
        os.close(handle)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)


def _run(order: dict[str, Any]) -> int:
    from pipelines.cli.app import main as lethe
    from tests.kill import mutants
    from tests.kill.points import Points

    _toy_embeddings()
    if order.get("mutant"):
        mutants.MUTANTS[order["mutant"]]()
    trace = Path(order["out"]).with_suffix(".trace")
    Points(Path(order["watched"]), trace, kill_at=order["kill_at"], stop_at=order["stop_at"]).install()
    sys.argv = ["lethe", *order["command"]]
    try:
        lethe()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _toy_embeddings() -> None:
    """A fake at the edge: item texts become random directions, without the seconds that a sentence model takes."""
    import numpy as np

    class Encoder:
        @classmethod
        def load(cls) -> Encoder:
            return cls()

    def embed_items(_encoder: Encoder, items: list[Any]) -> Any:
        return np.random.default_rng(0).normal(size=(len(items), 16)).astype(np.float32)

    module = ModuleType("retrieval.embeddings")
    module.__dict__.update(TextEncoder=Encoder, embed_items=embed_items)
    sys.modules["retrieval.embeddings"] = module


if __name__ == "__main__":
    main()
