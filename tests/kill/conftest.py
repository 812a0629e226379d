"""One world for the session: its pristine roots are trained once and copied for every case."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kill.world import World, made


@pytest.fixture(scope="session")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = made(tmp_path_factory.mktemp("kill"))
    yield world
    world.close()


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """The shared world, without a fault left in it."""
    shared_world.mutant = None
    yield shared_world
    shared_world.mutant = None
