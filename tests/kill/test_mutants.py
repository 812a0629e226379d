"""The suite catches planted faults: each is put into a command, and the examination of what it left tells of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.kill import cases
from tests.kill.cases import Case
from tests.kill.test_concurrent import erase_beside_a_reader, forgotten_during_a_batch
from tests.kill.world import World

Points = tuple[str, ...]


@dataclass(frozen=True)
class Planted:
    """A fault, the command that has it, where that is killed, and what the examination has to say."""

    fault: str
    case: Case
    where: Callable[[Points], int]
    words: str


def after_mark(points: Points) -> int:
    """The place of the first file that a faulty step writes, once it was marked done."""
    return next(n for n, label in enumerate(points) if label.startswith("torn"))


PLANTED = (
    Planted("rebuild_marked_first", cases.ERASE, after_mark, "erase is stuck"),
    Planted(
        "purge_marked_first", cases.ERASE, lambda points: points.index("mkdir pending"), "erase is stuck|no certificate"
    ),
    Planted("registered_before_whole", cases.ERASE, after_mark, "not whole"),
    Planted("reduced_passes_for_exact", cases.REDUCE, lambda points: len(points) - 3, "reduce is stuck"),
    Planted("written_in_place", cases.RECOMMEND, lambda points: points.index("torn recommendations.parquet"), "half-"),
    Planted("ingested_piece_by_piece", cases.FIRST_INGEST, lambda points: len(points) - 6, "half an ingest"),
)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.fault)
def test_a_planted_fault_is_caught(world: World, planted: Planted) -> None:
    case = planted.case
    cases.points_of(world, case)  # as it should be, it passes
    world.mutant = planted.fault
    world.begin(case.pristine)
    points = world.lethe(*case.command(world)).points
    world.begin(case.pristine)
    ended = world.lethe(*case.command(world), kill_at=planted.where(points) + 1)
    world.mutant = None  # it is run again as it should be
    assert ended.killed, "the kill did not hit, so nothing is shown"
    with pytest.raises(AssertionError, match=planted.words):
        cases.examine(world, case, ended)


@pytest.mark.parametrize(("label", "which"), [("rename", 3), ("begin", -1)], ids=["between chunks", "before publish"])
def test_no_suppression_at_publish_is_caught(world: World, label: str, which: int) -> None:
    world.mutant = "published_without_suppression"
    with pytest.raises(AssertionError, match="a forgotten person's list was published"):
        forgotten_during_a_batch(world, label, which)


def test_an_ignored_busy_checkpoint_is_caught(world: World) -> None:
    world.mutant = "busy_checkpoint_ignored"
    with pytest.raises(AssertionError, match=r"`erased` was said while|did not notice the reader"):
        erase_beside_a_reader(world)
