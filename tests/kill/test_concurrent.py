"""A request that arrives while another command runs is honoured by whatever is published after it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from tests.kill import cases, checks
from tests.kill.world import LATE, PARTLY, SUBJECT, Ended, World


def stopped_at(world: World, label: str, which: int, pristine: str, *command: str) -> Ended:
    """A fresh run of the command, stopped at the which-th point (from 0; negative from the end) of this label."""
    world.begin(pristine)
    points = world.lethe(*command).points
    places = [n for n, name in enumerate(points, start=1) if name.split()[0] == label]
    world.begin(pristine)
    stopped = world.lethe(*command, stop_at=places[which])
    assert stopped.status == "stopped"
    return stopped


def published_without(world: World, stopped: Ended, user: str) -> None:
    """The batch goes on and ends well: everybody but this person has a list, and the person is counted."""
    ended = world.go_on(stopped)
    assert ended.status == 0, ended.err
    assert user not in checks.lists(world.root), "a forgotten person's list was published in the database"
    assert user not in checks.file_lists(world.root / checks.LISTS), "a forgotten person's list was published in a file"
    assert json.loads(ended.out)["dropped"] == 1
    checks.sound(world)


def forgotten_during_a_batch(world: World, label: str, which: int) -> None:
    stopped = stopped_at(world, label, which, "trained", "recommend", "--all", "--json")
    world.right("forget", "user", LATE)
    published_without(world, stopped, LATE)
    checks.published(world)


@pytest.mark.parametrize(("label", "which"), [("rename", 3), ("begin", -1)], ids=["between chunks", "before publish"])
def test_a_request_during_a_batch(world: World, label: str, which: int) -> None:
    forgotten_during_a_batch(world, label, which)


def test_a_request_about_some_rows_during_a_batch(world: World) -> None:
    stopped = stopped_at(world, "begin", -1, "trained", "recommend", "--all", "--json")
    world.right("forget", "user", LATE, "--category", "Drama")
    published_without(world, stopped, LATE)


@pytest.mark.parametrize(
    ("label", "which"), [("rename", 0), ("begin", 3), ("before", 1)], ids=["rebuild", "switch", "vacuum"]
)
def test_a_request_during_an_erase(world: World, label: str, which: int) -> None:
    command = ("erase", "--certificate", str(world.certificate))
    stopped = stopped_at(world, label, which, "asked", *command)
    world.right("forget", "user", LATE)
    ended = world.go_on(stopped)
    assert ended.status in (0, 75), ended.err
    checks.unreadable(world, LATE)
    late = checks.asked(world.root, "SELECT id, state FROM forget_requests ORDER BY epoch DESC LIMIT 1")
    assert late[0][1] == "shielded", "a request that came late was closed with the others"
    world.right(*command)
    checks.erased(world)
    checks.tidy(world)
    checks.published(world)
    assert {SUBJECT, PARTLY, LATE} & set(checks.lists(world.root)) == {PARTLY}


@pytest.mark.parametrize(("label", "which"), [("rename", 0), ("torn", -1)], ids=["draft", "certificate"])
def test_a_request_while_others_are_reduced(world: World, label: str, which: int) -> None:
    command = cases.REDUCE.command(world)
    stopped = stopped_at(world, label, which, "asked of bpr", *command)
    world.right("forget", "user", LATE)
    ended = world.go_on(stopped)
    assert ended.status == 0, ended.err
    checks.unreadable(world, LATE)
    states = [state for (state,) in checks.asked(world.root, "SELECT state FROM forget_requests ORDER BY epoch")]
    assert states == ["erased", "reduced", "reduced", "shielded"], (
        "a request that came late was reduced with the others"
    )
    world.right(*command)
    checks.reduced(world)
    checks.tidy(world)
    checks.published(world)
    world.right("erase", "--certificate", str(world.certificate))
    checks.erased(world)
    checks.published(world)


def test_a_batch_of_the_old_set_is_not_published_after_a_reduction(world: World) -> None:
    stopped = stopped_at(world, "begin", 0, "asked of bpr", "recommend", "--all")
    world.right(*cases.REDUCE.command(world))
    assert world.go_on(stopped).status == 75, "lists of a set that knew the forgotten were published"
    checks.reduced(world)
    cases.ERASE.again(world, stopped)


def test_a_batch_of_the_old_set_is_not_published_after_an_erase(world: World) -> None:
    stopped = stopped_at(world, "begin", 0, "asked", "recommend", "--all")
    world.right("erase", "--certificate", str(world.certificate))
    ended = world.go_on(stopped)
    assert ended.status == 75, "lists of a set that knew the forgotten were published"
    world.right("erase")
    checks.erased(world)
    checks.tidy(world)
    checks.published(world)


def test_a_killed_batch_does_not_hold_up_an_erase(world: World) -> None:
    world.begin("asked")
    points = world.lethe("recommend", "--all").points
    world.begin("asked")
    torn = [n for n, label in enumerate(points, start=1) if label.startswith("torn part")]
    assert world.lethe("recommend", "--all", kill_at=torn[1]).killed
    world.right("erase", "--certificate", str(world.certificate))
    checks.erased(world)
    checks.tidy(world)
    checks.published(world)


def test_two_erases_at_once_are_one(world: World) -> None:
    stopped = stopped_at(world, "commit", 2, "asked", "erase", "--certificate", str(world.certificate))
    second = world.lethe("erase", "--certificate", str(world.certificate))
    assert (second.status, "another command maintains" in second.err) == (75, True)
    assert world.go_on(stopped).status == 0
    checks.erased(world)
    checks.tidy(world)


def erase_beside_a_reader(world: World) -> None:
    """While somebody reads old pages the erase must not say "erased"; afterwards it ends well."""
    world.begin("asked")
    with closing(sqlite3.connect(world.root / "lethe.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM interactions").fetchone()
        ended = world.lethe("erase", "--certificate", str(world.certificate))
        left = [path.name for path in world.root.glob("lethe.db*") if SUBJECT.encode() in path.read_bytes()]
        said = "erased" in set(checks.states(world.root).values()) - {"shielded"} and ended.status == 0
        assert not (said and left), f"`erased` was said while {left} held the person's id"
        assert ended.status == 75
        assert "a reader keeps" in ended.err, "the erase did not notice the reader"
    cases.ERASE.again(world, ended)


def test_an_erase_beside_a_reader(world: World) -> None:
    erase_beside_a_reader(world)
