"""What a command shows: text or one JSON document on standard output, progress on standard error."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any

Progress = Callable[[int, int], None]


def emit(value: Any, *, as_json: bool, text: Callable[[], str]) -> None:
    """Print the JSON of `value`, or else the text."""
    print(json.dumps(plain(value), ensure_ascii=False, indent=2) if as_json else text())


def plain(value: Any) -> Any:
    """The value as JSON knows it."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not isfinite(value):
        return None  # JSON knows no NaN
    return value


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns aligned by spaces; numbers to the right. Plain text, so that it can be piped and pasted."""
    texts = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[n]) for line in [list(headers), *texts]) for n in range(len(headers))]
    right = [bool(rows) and all(isinstance(row[n], int | float) for row in rows) for n in range(len(headers))]
    lines = [list(headers), ["─" * width for width in widths], *texts]
    return "\n".join(
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)).rstrip()
        for line in lines
    )


def say(line: str) -> None:
    """One line for a person on standard error."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """A bar with rate and estimate on a terminal; elsewhere one line when it ends."""
    started = time.perf_counter()
    if not sys.stderr.isatty():
        total = [0]
        yield lambda done, of: total.__setitem__(0, of)
        say(f"{label}: {time.perf_counter() - started:.1f} s" + (f" ({total[0]})" if total[0] else ""))
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None, rate="")

        def _update(done: int, of: int) -> None:
            seconds = max(time.perf_counter() - started, 1e-9)
            bar.update(task, completed=done, total=of, rate=f"{done / seconds:.1f}/s")

        yield _update


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
