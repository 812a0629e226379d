"""Many strings at once find exactly what looking for each of them finds."""

import numpy as np
import pytest

from unlearning.audit import needles
from unlearning.audit.needles import FEW, Strings


def some(count, rng, length=24):
    return [rng.bytes(length + n % 5) for n in range(count)]


@pytest.mark.parametrize("count", [1, FEW, FEW + 1, 400])
def test_one_string_is_found_wherever_it_stands(count, monkeypatch, tmp_path):
    monkeypatch.setattr(needles, "BLOCK", 64)
    rng = np.random.default_rng(count)
    strings = some(count, rng)
    searched, path = Strings(strings), tmp_path / "file"
    for at in (0, 1, 63, 64, 65, 100, 301):
        last = strings[-1]
        path.write_bytes(rng.bytes(at) + last + rng.bytes(37))
        assert searched.in_file(path)
        path.write_bytes(rng.bytes(at) + last)
        assert searched.in_file(path), "at the very end"
        path.write_bytes(rng.bytes(at) + last[:-1] + bytes([last[-1] ^ 1]))
        assert not searched.in_file(path), "but for its last bit"


def test_it_agrees_with_the_plain_search_where_strings_share_their_heads():
    rng = np.random.default_rng(5)
    alphabet = np.frombuffer(b"ab\0", dtype=np.uint8)
    strings = [rng.choice(alphabet, size=8 + n % 3).tobytes() for n in range(40)]
    searched, told = Strings(strings), []
    for _ in range(400):
        window = rng.choice(alphabet, size=60).tobytes()
        told.append(any(string in window for string in strings))
        assert searched.within(window) == told[-1]
    assert 40 < sum(told) < 360, "both answers occur"


def test_long_and_short_strings_of_one_head_are_told_apart():
    """Histories are as long as people are busy, and their numbers begin alike."""
    rng = np.random.default_rng(6)
    long = [rng.integers(0, 3, size=length).astype("<i8").tobytes() for length in range(8, 48)]
    searched, told = Strings(long), []
    for _ in range(300):
        window = rng.integers(0, 3, size=60).astype("<i8").tobytes()
        planted = long[rng.integers(len(long))]
        window = (
            window[:17] + (planted if rng.random() < 0.5 else planted[:-8] + bytes([7]) + planted[-7:]) + window[17:]
        )
        told.append(any(string in window for string in long))
        assert searched.within(window) == told[-1]
    assert 60 < sum(told) < 240, "both answers occur"


def test_nothing_to_look_for_is_found_nowhere_and_one_byte_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"some bytes")
    assert not Strings([]).in_file(path)
    with pytest.raises(ValueError, match="by chance"):
        Strings([b"x"])
