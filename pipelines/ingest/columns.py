"""Which column of a file means what: the fields Lethe knows, their usual names, and what a person says with --map."""

from collections.abc import Mapping, Sequence

from db.errors import LetheError
from pipelines.ingest.text import shown

INTERACTIONS = ("user_id", "item_id", "rating", "timestamp")
ITEMS = ("item_id", "title", "year", "genres", "description")
USERS = ("user_id",)
FILES = {"interactions": INTERACTIONS, "items": ITEMS, "users": USERS}
REQUIRED = frozenset({"user_id", "item_id", "title"})

Mapped = Mapping[str, str]
"""Column by field, as given with --map; a field may carry its file: `items.item_id`."""


def parse_map(pairs: Sequence[str]) -> dict[str, str]:
    """Read `field=column` pairs. Raises LetheError for an unknown field, an empty column, and a field given twice.

    >>> parse_map(["user_id=userId", "items.item_id=asin"])
    {'user_id': 'userId', 'items.item_id': 'asin'}
    """
    known = {*INTERACTIONS, *ITEMS, *(f"{file}.{field}" for file, fields in FILES.items() for field in fields)}
    mapping: dict[str, str] = {}
    for pair in pairs:
        field, equals, column = pair.partition("=")
        if not equals or not column:
            raise LetheError(f"--map {shown(pair)} names no column: write field=column, such as user_id=userId")
        if field not in known:
            choices = ", ".join(dict.fromkeys((*INTERACTIONS, *ITEMS)))
            raise LetheError(f"--map {shown(pair)} names an unknown field: choose one of {choices}")
        if field in mapping:
            raise LetheError(f"--map gives {shown(field)} twice ({shown(mapping[field])}, {shown(column)}): keep one")
        mapping[field] = column
    return mapping


def choose(name: str, kind: str, header: Sequence[str], mapping: Mapped) -> dict[str, str]:
    """The field of every wanted column of the file `name`, in header order.

    A mapped column must exist; for a field without `--map` the column of its own name is taken where there is one.
    Raises LetheError when a required field or a mapped column is missing, or one column serves two fields.
    """
    chosen: dict[str, str] = {}
    for field in FILES[kind]:
        column = mapping.get(f"{kind}.{field}", mapping.get(field, field))
        if column not in header:
            if field in REQUIRED or f"{kind}.{field}" in mapping or _only_here(kind, field, mapping):
                raise LetheError(_missing(name, field, column, header))
        elif column in chosen:
            raise LetheError(f"--map gives the column {shown(column)} to {chosen[column]} and to {field}: keep one")
        else:
            chosen[column] = field
    return {column: chosen[column] for column in header if column in chosen}


def _only_here(kind: str, field: str, mapping: Mapped) -> bool:
    return field in mapping and [file for file, fields in FILES.items() if field in fields] == [kind]


def _missing(name: str, field: str, column: str, header: Sequence[str]) -> str:
    there = ", ".join(shown(other) for other in header[:8]) + (", …" if len(header) > 8 else "")
    return f"{shown(name)} has no column {shown(column)} (it has {there}): name one with --map {field}=COLUMN"
