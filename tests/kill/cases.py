"""The commands under the knife: how each begins, how it is run again, and what must be true then."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from tests.kill import checks
from tests.kill.world import GENRES, ITEMS, LATE, PARTLY, SUBJECT, Ended, World, sources


@dataclass(frozen=True)
class Case:
    """One command on one pristine root."""

    name: str
    pristine: str
    command: Callable[[World], Sequence[str]]
    at_once: Callable[[World, Ended], None]
    """What must hold right after the kill, beside `checks.sound`."""
    again: Callable[[World, Ended], None]
    """Runs the command again, and checks that nothing is lost, doubled or stuck."""


def points_of(world: World, case: Case) -> tuple[str, ...]:
    """The points of an undisturbed run, which has to come out right too; one run a session tells."""
    known = f"points of {case.name}"
    if known not in world.expected:
        world.begin(case.pristine)
        ended = world.lethe(*case.command(world))
        assert ended.status == 0, ended.err
        case.again(world, ended)
        world.expected[known] = ended.points
    points: tuple[str, ...] = world.expected[known]
    return points


def kill(world: World, case: Case, point: int) -> bool:
    """Kill the command at a point, look, run it again, and look again. Tells whether the kill hit."""
    world.begin(case.pristine)
    ended = world.lethe(*case.command(world), kill_at=point)
    if not ended.killed:
        return False
    examine(world, case, ended)
    return True


def examine(world: World, case: Case, ended: Ended) -> None:
    """What a killed process left behind: sound at once, and right after a re-run."""
    checks.sound(world)
    case.at_once(world, ended)
    case.again(world, ended)
    checks.sound(world)


def chosen(points: Sequence[str], count: int) -> list[int]:
    """Places of `count` points, spread over the run: all around commits and renames first, then the others."""
    delicate = [n for n, label in enumerate(points, start=1) if label.split()[0] in _DELICATE]
    others = [n for n, label in enumerate(points, start=1) if label != "begin" and n not in delicate]
    first = _spread(delicate, count)
    return sorted(first + _spread(others, count - len(first)))


_DELICATE = {"commit", "committed", "rename", "torn", "inside"}


def _spread(places: Sequence[int], count: int) -> list[int]:
    count = min(count, len(places))
    return [places[round(n * (len(places) - 1) / max(count - 1, 1))] for n in range(count)]


def _ingest_again(name: str) -> Callable[[World, Ended], None]:
    def again(world: World, _ended: Ended) -> None:
        world.right("ingest", *sources(world.folder, name))
        found = checks.data(world.root)
        assert found == world.expected.setdefault(name, found), "an ingest lost or doubled rows"
        assert "nothing new" in world.right("ingest", *sources(world.folder, name)).out
        known = checks.asked(world.root, "SELECT count(*) FROM sources")
        assert known == world.expected.setdefault(f"{name} sources", known), "a source is recorded twice"
        world.right("erase")  # the next maintenance
        checks.tidy(world)

    return again


def _whole_or_nothing(name: str, before: str) -> Callable[[World, Ended], None]:
    def at_once(world: World, _ended: Ended) -> None:
        found = checks.data(world.root)
        allowed = [world.expected[name], checks.data(world.folder / before)]
        assert found in allowed, "half an ingest is visible"

    return at_once


def _shielded_when_told(world: World, ended: Ended) -> None:
    """An id that was told is in the store; a request in the store hides the person from every reader."""
    requests = [request for (request,) in checks.asked(world.root, _OPEN)]
    assert all(request in requests for request in ended.out.split() if _is_id(request)), "an accepted request is lost"
    assert len(requests) == (SUBJECT in checks.hidden(world.root))
    if requests:
        checks.unreadable(world, SUBJECT)


_OPEN = "SELECT id FROM forget_requests WHERE state <> 'erased'"


def _is_id(word: str) -> bool:
    return len(word) == 17 and word[0] == "r" and all(letter in "0123456789abcdef" for letter in word[1:])


def _forget_again(world: World, _ended: Ended) -> None:
    ended = world.lethe("forget", "user", SUBJECT)
    assert ended.status == 0 or "already forgotten" in ended.err, f"forget is stuck: {ended.err}"
    checks.unreadable(world, SUBJECT)
    assert len(checks.asked(world.root, _OPEN)) == 1
    assert not (world.root / checks.LISTS).exists(), "the file with the person's list is still where readers look"
    tokens = "SELECT count(*) FROM suppressions JOIN forget_requests f ON f.id = request WHERE f.state <> 'erased'"
    assert checks.asked(world.root, tokens) == [(1,)], "not one suppression entry"
    events = "SELECT event FROM ledger WHERE request IN (SELECT id FROM forget_requests WHERE state <> 'erased')"
    assert sorted(checks.asked(world.root, events)) == [("accepted",), ("shielded",)]
    _erase_again(world, ended)


def _concept_hidden_when_told(world: World, _ended: Ended) -> None:
    """Once there is a request, nobody is offered an item of it, and no list from before is left to be read."""
    requests = checks.asked(world.root, "SELECT name FROM concept_requests")
    if requests:
        assert checks.lists(world.root) == {}, "lists from before the concept was forgotten are still read"
        told = json.loads(world.right("recommend", LATE, "--json").out)[0]
        shown = {row["item"] for row in told["recommendations"]}
        assert told["without"] == ["Horror"]
        assert shown
        assert not shown & HORROR, "a hidden item is offered"


HORROR = {f"i{n}" for n in range(ITEMS) if GENRES[n % len(GENRES)] == "Horror"}


def _concept_again(world: World, _ended: Ended) -> None:
    world.right("forget", "concept", "Horror", "--layer", "retrieval", "--yes")
    assert not (world.root / checks.LISTS).exists(), "the file with lists from before is still where readers look"
    assert checks.asked(world.root, "SELECT name, state FROM concept_requests") == [("Horror", "hidden")]
    world.right("recommend", "--all")
    assert not HORROR & set(pl.read_parquet(world.root / checks.LISTS)["item"])
    checks.published(world)
    world.right("erase")  # the next maintenance
    checks.tidy(world)


def _still_hidden(world: World, _ended: Ended) -> None:
    checks.unreadable(world, SUBJECT)


def _erase_again(world: World, _ended: Ended) -> None:
    ended = world.lethe("erase", "--certificate", str(world.certificate))
    assert ended.status == 0, f"erase is stuck: {ended.err}"
    checks.erased(world)
    checks.tidy(world)
    checks.published(world)
    checks.unreadable(world, SUBJECT)
    _nobody_else_lost(world, {SUBJECT})


def _reduce_again(world: World, _ended: Ended) -> None:
    ended = world.lethe(*REDUCE.command(world))
    assert ended.status == 0, f"reduce is stuck: {ended.err}"
    checks.reduced(world)
    checks.tidy(world)
    checks.published(world)
    checks.unreadable(world, SUBJECT)
    _erase_again(world, ended)


def _nobody_else_lost(world: World, gone: set[str]) -> None:
    then = {row for row in checks.data(world.folder / "trained")["interactions"] if row[0] not in gone}
    now = set(checks.data(world.root)["interactions"])
    missing = {row[0] for row in then - now}
    assert now <= then, "rows appeared from nowhere"
    assert missing <= {PARTLY, LATE}, f"rows of others are lost: {missing}"


def _resumed(world: World, ended: Ended) -> None:
    running = [job for (job,) in checks.asked(world.root, "SELECT id FROM jobs WHERE state = 'running'")]
    told = [line.split()[1] for line in ended.err.splitlines() if line.startswith("job ")]
    if running:
        assert told in ([], running), "an unfinished job is lost"
        world.right("recommend", "--resume", *running)
    else:
        world.right("recommend", "--all")
    checks.published(world)
    assert checks.asked(world.root, "SELECT DISTINCT state FROM jobs") == [("done",)], "a job is stuck"
    world.right("erase")  # the next maintenance
    checks.tidy(world)
    checks.published(world)


def _old_lists_stay(world: World, _ended: Ended) -> None:
    """Readers see the old lists or the new ones, whole: everybody has one."""
    checks.published(world)


FIRST_INGEST = Case(
    "ingest into a new root",
    "empty",
    lambda world: ("ingest", *sources(world.folder, "first")),
    _whole_or_nothing("first", "empty"),
    _ingest_again("first"),
)
NEXT_INGEST = Case(
    "ingest into a root in use",
    "trained",
    lambda world: ("ingest", *sources(world.folder, "more")),
    _whole_or_nothing("more", "trained"),
    _ingest_again("more"),
)
FORGET = Case("forget", "trained", lambda _: ("forget", "user", SUBJECT), _shielded_when_told, _forget_again)
CONCEPT = Case(
    "forget a concept",
    "trained",
    lambda _: ("forget", "concept", "Horror", "--layer", "retrieval", "--yes"),
    _concept_hidden_when_told,
    _concept_again,
)
ERASE = Case(
    "erase",
    "asked",
    lambda world: ("erase", "--certificate", str(world.certificate)),
    _still_hidden,
    _erase_again,
)
ERASE_SHARDS = Case(
    "erase of shards",
    "asked of shards",
    lambda world: ("erase", "--certificate", str(world.certificate)),
    _still_hidden,
    _erase_again,
)
REDUCE = Case(
    "reduce",
    "asked of bpr",
    lambda world: ("erase", "--method", "scif", "--certificate", str(world.certificate)),
    _still_hidden,
    _reduce_again,
)
RECOMMEND = Case("recommend", "trained", lambda _: ("recommend", "--all"), _old_lists_stay, _resumed)
CASES = (FIRST_INGEST, NEXT_INGEST, FORGET, CONCEPT, ERASE, ERASE_SHARDS, REDUCE, RECOMMEND)
