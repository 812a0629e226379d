"""Which shard a row belongs to: by a rule over the person's outside id, or by a table that was clustered once."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from db.errors import LetheError
from db.log import InteractionLog
from recsys.candidates import IntArray

FILE = "partition.safetensors"

Keys = NDArray[np.uint64]

_ODD = np.uint64(0x9E3779B97F4A7C15)
"""Makes the key of (a, b) differ from that of (b, a)."""


class Partition(Protocol):
    """Gives every row one of `shards` shards."""

    @property
    def shards(self) -> int:
        """How many there are; some may have no rows."""
        ...

    def shard_of(self, log: InteractionLog) -> IntArray:
        """The shard of each row, int64 [rows]."""
        ...

    def within(self, log: InteractionLog) -> "Partition":
        """The same partition, without a trace of rows that `log` lacks."""
        ...


@dataclass(frozen=True, slots=True)
class HashPartition:
    """Whole people by a keyed hash of their outside id: no row has a say, and the same person never moves."""

    shards: int
    salt: str = ""

    def __post_init__(self) -> None:
        check_shards(self.shards)

    def shard_of(self, log: InteractionLog) -> IntArray:
        """The shard of each row's person."""
        return (user_keys(log, self.salt) % np.uint64(self.shards)).astype(np.int64)[log.user]

    def shard_of_user(self, user: str) -> int:
        """The shard of one person by the outside id."""
        return int(_hashes((user,), self.salt, b"user")[0] % np.uint64(self.shards))

    def within(self, log: InteractionLog) -> "HashPartition":
        """Itself: it holds nothing of any row."""
        return self


@dataclass(frozen=True, slots=True)
class TablePartition:
    """A clustering of people or of (person, item) pairs, by 64-bit keys: `keys` uint64 ascending, `places` int64.

    It was made from rows and tells who was like whom: an artefact of scope `all`. Keys are hashes of outside ids, which
    survive that rows are renumbered, but are no secret.
    """

    shards: int
    pairs: bool
    """Whether the keys are of (person, item) pairs; else of people."""
    keys: Keys
    places: IntArray

    def __post_init__(self) -> None:
        check_shards(self.shards)
        if len(self.keys) != len(self.places) or (self.keys[1:] <= self.keys[:-1]).any():
            raise ValueError("a partition needs distinct keys in ascending order, each with its shard")
        if len(self.places) and not 0 <= self.places.min() <= self.places.max() < self.shards:
            raise ValueError(f"a shard lies outside 0 to {self.shards - 1}")

    @classmethod
    def of(cls, log: InteractionLog, places: IntArray, shards: int, *, pairs: bool) -> Self:
        """The partition in which row i of `log` is in shard `places[i]`; equal keys must have equal shards."""
        keys, first = np.unique(_row_keys(log, pairs), return_index=True)
        return cls(shards, pairs, keys, places[first])

    def shard_of(self, log: InteractionLog) -> IntArray:
        """The shard of each row. Raises LetheError for rows that the partition was not made from."""
        keys = _row_keys(log, self.pairs)
        at = np.minimum(np.searchsorted(self.keys, keys), max(0, len(self.keys) - 1))
        known = self.keys[at] == keys if len(self.keys) else np.zeros(len(keys), dtype=np.bool_)
        if not known.all():
            raise LetheError(
                f"{np.count_nonzero(~known)} rows belong to no shard: fit the sharded model again with them, "
                "or rebuild its partition"
            )
        return self.places[at]

    def within(self, log: InteractionLog) -> "TablePartition":
        """Only the keys that `log` has."""
        kept = np.isin(self.keys, _row_keys(log, self.pairs))
        return TablePartition(self.shards, self.pairs, self.keys[kept], self.places[kept])

    def save(self, folder: Path) -> None:
        """Write to an existing folder."""
        facts = {"shards": str(self.shards), "pairs": str(int(self.pairs))}
        save_file({"keys": self.keys, "places": self.places}, folder / FILE, facts)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        with safe_open(folder / FILE, framework="numpy") as stored:
            facts = stored.metadata()
            return cls(
                int(facts["shards"]), facts["pairs"] == "1", stored.get_tensor("keys"), stored.get_tensor("places")
            )


def user_keys(log: InteractionLog, salt: str = "") -> Keys:
    """A 64-bit key of every user's outside id, the same in every process, uint64 [users]."""
    return _hashes(log.users, salt, b"user")


def _row_keys(log: InteractionLog, pairs: bool) -> Keys:
    users = user_keys(log)[log.user]
    return users * _ODD + _hashes(log.items, "", b"item")[log.item] if pairs else users


def _hashes(names: tuple[str, ...], salt: str, kind: bytes) -> Keys:
    key = blake2b(salt.encode(), digest_size=32).digest()
    digests = (blake2b(name.encode(), digest_size=8, key=key, person=kind).digest() for name in names)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def check_shards(shards: int) -> None:
    """Raise LetheError for less than one shard."""
    if shards < 1:
        raise LetheError(f"{shards} shards were asked for: ask for at least 1")
