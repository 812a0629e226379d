"""Installation: the pins, and `make setup` in a fresh clone."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>[0-9][0-9a-z.]*)(?: ; .+)?")


def pins() -> dict[str, str]:
    """The pinned version of each distribution; a line that is no plain pin fails."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    matches = {line: PIN.fullmatch(line) for line in lines}
    assert [line for line, match in matches.items() if match is None] == []
    return {match["name"]: match["version"] for match in matches.values() if match}


def asked_for() -> set[str]:
    """The distributions that pyproject.toml names, by their normal names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    wanted += [name for extra in project["project"]["optional-dependencies"].values() for name in extra]
    wanted += project["build-system"]["requires"]
    return {re.split(r"[\[<>=!~; ]", name)[0].lower().replace("_", "-") for name in wanted}


def test_every_dependency_is_pinned_and_ray_is_not_there() -> None:
    assert asked_for() - set(pins()) == set()
    assert "ray" not in pins()


def test_what_is_installed_is_what_is_pinned() -> None:
    """Otherwise the figures of this run are not those of the pins: `make setup` or `make pins` puts it right."""
    different = {}
    for name, pinned in pins().items():
        try:
            installed = Version(version(name)).public
        except PackageNotFoundError:
            continue
        if installed != str(Version(pinned)):
            different[name] = (installed, pinned)
    assert different == {}


@pytest.mark.nightly
def test_setup_in_a_fresh_clone_without_uv(tmp_path: Path) -> None:
    clone = tmp_path / "lethe"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    setup = ["make", "-C", str(clone), "UV=.uv/bin/uv", "setup"]
    subprocess.run(setup, check=True, stdin=subprocess.DEVNULL)
    again = subprocess.run(setup, check=True, capture_output=True, text=True)
    assert "Nothing to be done" in again.stdout

    look = "import importlib.util as u, db, torch; print(u.find_spec('ray'), db.__file__)"
    seen = subprocess.run(
        [clone / ".venv/bin/python", "-c", look], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert seen.stdout.split() == ["None", str(clone / "db/__init__.py")]
    assert (clone / ".venv/bin/lethe").exists()
