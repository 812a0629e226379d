"""What every history filter must keep to; subclass it and give the fixture `subject`."""

import numpy as np
import pytest

NONE = np.empty(0, dtype=np.int64)
ITEMS = 40


class FilterContract:
    """One suite for all filters over a catalogue of `ITEMS` items."""

    keeps_to_length = True
    """False only for `none`, which keeps everything."""

    @pytest.fixture
    def subject(self):
        raise NotImplementedError

    def expected(self, history, length):
        return min(length, len(history)) if self.keeps_to_length else len(history)

    def cases(self):
        rng = np.random.default_rng(7)
        for size in (0, 1, 2, 5, 12, ITEMS):
            history = rng.choice(ITEMS, size=size, replace=False)
            candidates = rng.choice(ITEMS, size=10, replace=False)
            for length in (0, 1, 3, 5, 11, 100):
                yield history, candidates, length

    def test_keeps_exactly_the_length_in_time_order_within_the_history(self, subject):
        for history, candidates, length in self.cases():
            kept = subject.select(history, candidates, length, seed=1)
            assert kept.dtype == np.int64
            assert len(kept) == self.expected(history, length)
            assert (np.diff(kept) > 0).all()
            assert np.isin(history[kept], history).all()
            assert ((kept >= 0) & (kept < len(history))).all()

    def test_the_seed_decides(self, subject):
        for history, candidates, length in self.cases():
            first = subject.select(history, candidates, length, seed=3)
            assert subject.select(history, candidates, length, seed=3).tolist() == first.tolist()

    def test_a_repeated_item_counts_as_the_rows_it_is(self, subject):
        history = np.array([4, 4, 4, 9, 9, 4], dtype=np.int64)
        kept = subject.select(history, np.array([1, 2]), 4, seed=0)
        assert len(kept) == self.expected(history, 4)
        assert len(set(kept.tolist())) == len(kept)

    def test_works_without_candidates(self, subject):
        history = np.arange(10)
        assert len(subject.select(history, NONE, 4, seed=0)) == self.expected(history, 4)

    def test_the_history_is_left_as_it_was(self, subject):
        history = np.arange(20)[::-1].copy()
        before = history.tobytes()
        subject.select(history, np.arange(5), 6, seed=0)
        assert history.tobytes() == before

    def test_other_peoples_rows_change_nothing(self, subject):
        """A filter sees one history: asking for somebody else in between leaves the answer as it was."""
        history, other = np.arange(0, 20), np.arange(20, 40)
        first = subject.select(history, np.arange(5), 6, seed=2)
        subject.select(other, np.arange(5), 6, seed=9)
        assert subject.select(history, np.arange(5), 6, seed=2).tolist() == first.tolist()
