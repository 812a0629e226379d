"""`kill -9` during ingest, forget, erase and recommend --all: after a re-run nothing is lost, doubled or stuck."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest

from tests.kill import cases
from tests.kill.cases import CASES, Case
from tests.kill.world import Ended, World, surroundings

SPREAD = {
    "ingest into a new root": 3,
    "ingest into a root in use": 2,
    "forget": 3,
    "forget a concept": 1,
    "erase": 6,
    "erase of shards": 1,
    "reduce": 2,
    "recommend": 4,
}
"""Kills of each command in an ordinary run."""
TIMED = 6
"""Kills of each command at a random moment, by night."""


def test_every_point_that_is_chosen_is_hit(world: World) -> None:
    hits = {case.name: _kill_at_chosen(world, case, SPREAD[case.name]) for case in CASES}
    assert hits == SPREAD
    assert sum(hits.values()) >= 20


@pytest.mark.nightly
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_point_there_is(world: World, case: Case) -> None:
    points = cases.points_of(world, case)
    places = [n for n, label in enumerate(points, start=1) if label != "begin"]
    hits = [cases.kill(world, case, place) for place in places]
    assert all(hits)
    assert len(hits) >= {"erase": 100, "recommend": 40}.get(case.name, 3)


@pytest.mark.nightly
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_any_moment(world: World, case: Case) -> None:
    cases.points_of(world, case)
    rng = random.Random(f"moments of {case.name}")
    seconds = min(_timed(world, case, None)[1] for _ in range(2))
    hits = 0
    for _ in range(3 * TIMED):
        ended, took = _timed(world, case, rng.uniform(0.3, 0.95) * seconds)
        if ended is None:
            seconds = min(seconds, took)  # the machine is faster than it was
            continue
        cases.examine(world, case, ended)
        hits += 1
        if hits == TIMED:
            break
    assert hits == TIMED, f"{hits} kills were effective: the other processes ended before them"


def _kill_at_chosen(world: World, case: Case, count: int) -> int:
    points = cases.points_of(world, case)
    return sum(cases.kill(world, case, place) for place in cases.chosen(points, count))


def _timed(world: World, case: Case, moment: float | None) -> tuple[Ended | None, float]:
    """The command as a program of its own, killed at a moment; None where it ended by itself. And its seconds."""
    world.begin(case.pristine)
    command = [sys.executable, "-m", "pipelines.cli.app", *case.command(world), "--root", str(world.root)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=surroundings())
    try:
        out, err = process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        return Ended(process.pid, "killed", out, err, ("a moment",)), time.perf_counter() - started
    assert process.returncode == 0, err
    return None, time.perf_counter() - started
