"""What every test may ask for, and the surroundings that all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.postgres import REQUIRED, NoServerError, Server, running_server

SURROUNDINGS = {
    # The machine that the figures are stated for, whatever this one has: two threads, or two workers of one each.
    "OMP_NUM_THREADS": "1" if "PYTEST_XDIST_WORKER" in os.environ else "2",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin at barriers starve whatever else runs beside the tests
    "POLARS_MAX_THREADS": "2",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",  # a test that needs a network is no test
}


def pytest_configure() -> None:
    """Set the surroundings before any test imports a numerical library; programs that tests start inherit them."""
    for name, value in SURROUNDINGS.items():
        os.environ.setdefault(name, value)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """One PostgreSQL server for the session; without one the test is skipped, or fails where one is required."""
    try:
        with running_server() as server:
            yield server
    except NoServerError as missing:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{REQUIRED}=1, but {missing}")
        pytest.skip(str(missing))


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """The SQLAlchemy address of an empty PostgreSQL database that belongs to this test alone."""
    with postgres_server.database() as url:
        yield url
