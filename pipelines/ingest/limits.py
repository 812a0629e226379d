"""What a data file may hold before it is refused."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on untrusted input. Lengths are in characters after cleaning."""

    file_bytes: int = 1 << 30
    rows: int = 120_000_000
    """Of one file, and of all interactions together; the Netflix Prize's are 100,480,507."""
    id_chars: int = 256
    title_chars: int = 1_024
    description_chars: int = 8_192
    genres: int = 64
    genre_chars: int = 128
    rating: float = 1e6
    """Largest absolute value of a rating."""
    first_year: int = 1000
    last_year: int = 2999
    last_timestamp: int = 4_102_444_800
    """Unix seconds; the default is the start of the year 2100. The earliest is 0."""
    listed_rejects: int = 10_000
    """Bad rows written to the reject file; the rest are only counted."""


DEFAULT_LIMITS = Limits()
