"""What a command does not load: a person who asks to be forgotten waits for no model."""

import subprocess
import sys

import pytest

from tests.pipelines.commands import SOMEBODY

HEAVY = ("torch", "numpy", "polars", "scipy", "faiss", "transformers", "sentence_transformers", "recbole", "alembic")
SHOW = "import sys; print(*[name for name in {heavy} if name in sys.modules])"


def loaded(code, *heavy):
    """Which of the libraries a fresh process holds after the code."""
    program = f"{code}\n{SHOW.format(heavy=heavy)}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


def command(*words):
    return (
        f"import sys; sys.argv = ['lethe', *{[str(word) for word in words]!r}]\n"
        "from pipelines.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code, ended.code"
    )


@pytest.mark.parametrize("module", ["pipelines.forget", "pipelines.status"])
def test_hiding_rows_needs_no_numerical_library(module):
    assert loaded(f"import {module}", *HEAVY) == []


def test_help_needs_no_database_library_either():
    assert loaded(command("--help"), *HEAVY, "sqlalchemy", "pydantic", "rich") == []


def test_forgetting_a_person_loads_no_model(lethe):
    assert loaded(command("forget", "user", SOMEBODY), *HEAVY) == []
    assert lethe("recommend", SOMEBODY).status == 1
