"""Seconds and memory of one piece of work."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(slots=True)
class Cost:
    """Filled when the block ends."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    held_mb: float = 0.0
    """Resident memory of the process when the block began."""
    peak_mb: float = 0.0
    """Highest resident memory of the process during the block, what it held before included."""
    peak_since_start: bool = False
    """True where the system cannot reset its mark: then `peak_mb` is that of the whole process so far."""


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure a block."""
    cost = Cost(peak_since_start=not _reset(), held_mb=_resident("VmRSS:"))
    started, cpu = time.perf_counter(), time.process_time()
    yield cost
    cost.seconds = time.perf_counter() - started
    cost.cpu_seconds = time.process_time() - cpu
    cost.peak_mb = _resident("VmHWM:")


def _reset() -> bool:
    with suppress(OSError):
        _RESET.write_text("5")
        return True
    return False


def _resident(mark: str) -> float:
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith(mark):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
