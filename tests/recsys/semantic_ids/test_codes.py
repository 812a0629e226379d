import numpy as np
import pytest

from db.errors import LetheError
from recsys.semantic_ids.codes import CodeTable, moved, numbered
from recsys.semantic_ids.trie import END, Trie

CODES = np.array([[1, 0], [0, 2], [1, 0], [0, 1], [1, 0]])


@pytest.fixture
def table() -> CodeTable:
    return numbered(CODES, width=3, digits=4)


def test_items_with_equal_codes_are_numbered_in_the_order_of_their_rows(table):
    assert table.codes.tolist() == [[1, 0, 0], [0, 2, 0], [1, 0, 1], [0, 1, 0], [1, 0, 2]]
    assert table.collisions == 3
    assert table.tokens[2].tolist() == [1, 3 + 0, 6 + 1]
    assert table.vocabulary == 3 + 3 + 4


def test_two_items_with_one_id_are_refused(table):
    with pytest.raises(ValueError, match="one id"):
        CodeTable(table.codes[[0, 0]], 3, 4)


def test_more_equal_codes_than_digits_are_refused():
    with pytest.raises(LetheError, match="share all codes"):
        numbered(CODES, width=3, digits=2)


def test_the_version_changes_with_any_code(table):
    other = table.codes.copy()
    other[3, 1] = 0
    assert CodeTable(other, 3, 4).version != table.version
    assert CodeTable(table.codes.copy(), 3, 4).version == table.version


def test_a_move_takes_the_lowest_free_digit_and_touches_nobody_else(table):
    made = moved(table, np.array([1, 3]), np.array([[1, 0], [0, 1]]))
    assert made.codes.tolist() == [[1, 0, 0], [1, 0, 3], [1, 0, 1], [0, 1, 0], [1, 0, 2]]


def test_a_place_that_is_left_can_be_taken(table):
    made = moved(table, np.array([0, 1]), np.array([[2, 2], [1, 0]]))
    assert made.codes[[0, 1]].tolist() == [[2, 2, 0], [1, 0, 0]]
    assert made.codes[[2, 3, 4]].tolist() == table.codes[[2, 3, 4]].tolist()


def test_no_move_changes_nothing(table):
    rows = np.arange(len(CODES))
    assert moved(table, rows, CODES).version == table.version


def test_the_trie_leads_to_every_item_and_nowhere_else(table):
    trie = Trie(table)
    assert trie.order.tolist() == [3, 1, 0, 2, 4]
    for row, codes in enumerate(table.codes.tolist()):
        node = 0
        for level, code in zip(trie.levels, codes, strict=True):
            node = int(level.children[node, code])
        assert trie.order[node] == row
    assert [int((level.children != END).sum()) for level in trie.levels] == [2, 3, 5]
    assert [np.diff(level.first).tolist() for level in trie.levels] == [[2, 3], [1, 1, 3], [1] * 5]


def test_a_node_is_open_while_an_item_beneath_it_is(table):
    first, second, leaves = Trie(table).open(np.array([0, 2, 3]))
    assert first.tolist() == [True, True]
    assert second.tolist() == [False, True, True]
    assert leaves.tolist() == [False, True, False, False, True]
