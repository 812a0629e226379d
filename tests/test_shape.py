"""The budgets that keep the code readable. Each measure is first shown to find what it looks for."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

import pytest

from tests import shape
from tests.shape import Source

ROOT = Path(__file__).parents[1]
PRODUCT = shape.sources(ROOT, shape.PACKAGES)
TESTS = shape.sources(ROOT, ["tests"])
FILES = shape.repository_files(ROOT)
STANDARD = frozenset(sys.stdlib_module_names)

MODULE_MOST, MODULE_MEDIAN = 300, 100
FUNCTION_MOST, FUNCTION_P95, FUNCTION_MEAN = 60, 30, 10.0
DUPLICATION_MOST = 0.03


def assert_none(violations: Iterable[str]) -> None:
    """Fail with every violation, one a line, so that they can be put right in one go."""
    told = list(violations)
    assert not told, "\n" + "\n".join(told)


def heavy_shared_types(source: Source) -> Iterable[str]:
    return shape.heavy_shared_types(source, STANDARD)


RULES: dict[str, Callable[[Source], Iterable[str]]] = {
    "positional": shape.crowded,
    "docstrings": shape.undocumented,
    "types": shape.unannotated,
    "homes": shape.away_from_home,
    "arrow": shape.against_the_arrow,
    "shared types": heavy_shared_types,
    "risky": shape.risky,
    "print": shape.printing,
}

CLEAN = '''"""A module that keeps every rule."""

import json


class Reader:
    """Reads."""

    def read(self, a: int, b: int, c: int, d: int, e: int, *, f: int = 0) -> str:
        """Say what was given."""
        try:
            return json.dumps([a, b, c, d, e, f])  # type: ignore[no-any-return]
        except (ValueError, TypeError) as error:
            raise RuntimeError("not a number") from error


def model_eval(model: Reader) -> None:
    """Calls an `eval` that is nobody's business: model.eval()."""
    model.eval()
'''

# (rule, path, source that breaks it, what the violation must say)
PLANTED = [
    ("positional", "db/a.py", "def f(a, b, c, d, e, g): ...", "f: 6 positional parameters"),
    ("positional", "db/a.py", "class A:\n  def f(self, a, b, c, /, d, e, g): ...", "f: 6 positional parameters"),
    ("docstrings", "db/a.py", "x = 1", "module: no docstring"),
    ("docstrings", "db/a.py", "'''m'''\nclass A: ...", "A: no docstring"),
    ("docstrings", "db/a.py", "'''m'''\nclass A:\n  '''a'''\n  def f(self): ...", "f: no docstring"),
    ("types", "db/a.py", "def f(a: int, *, b=1) -> int: ...", "f: b has no type"),
    ("types", "db/a.py", "def f(*args) -> int: ...", "f: args has no type"),
    ("types", "db/a.py", "def _f(a: int): ...", "_f: no return type"),
    ("homes", "llm/a.py", "def f():\n  import faiss", "imports faiss, whose home is retrieval"),
    ("homes", "recsys/a.py", "from transformers import Qwen2Model", "imports transformers"),
    ("homes", "unlearning/data/a.py", "import peft.tuners", "imports peft.tuners"),
    ("homes", "recsys/a.py", "import importlib\nimportlib.import_module('sqlalchemy.orm')", "imports sqlalchemy.orm"),
    ("arrow", "db/a.py", "def f():\n  from recsys.ids import Ids", "db imports recsys: against the arrow"),
    ("shared types", "llm/ranking.py", "import torch", "a module of shared types imports torch"),
    ("risky", "db/a.py", "import torch\ntorch.load('x')", "torch.load()"),
    ("risky", "db/a.py", "from pickle import loads", "imports pickle"),
    ("risky", "db/a.py", "eval('1')", "eval()"),
    ("risky", "db/a.py", "load(trust_remote_code=True)", "trust_remote_code is not False"),
    ("risky", "db/a.py", "import numpy\nnumpy.load('x', allow_pickle=True)", "allow_pickle is not False"),
    ("risky", "db/a.py", "try:\n  x = 1\nexcept Exception as error:\n  pass", "broad except"),
    ("risky", "db/a.py", "try:\n  x = 1\nexcept:\n  pass", "broad except"),
    ("risky", "db/a.py", "try:\n  x = 1\nexcept (ValueError, BaseException):\n  pass", "broad except"),
    ("risky", "db/a.py", "x = 1  # type: " + "ignore", "type: ignore without a code"),
    ("print", "pipelines/recommend.py", "print(1)", "print outside pipelines/cli"),
]


@pytest.mark.parametrize("rule", RULES)
def test_a_clean_module_breaks_no_rule(rule: str) -> None:
    assert list(RULES[rule](Source("db/clean.py", CLEAN))) == []


@pytest.mark.parametrize(("rule", "path", "text", "message"), PLANTED, ids=[f"{row[0]}: {row[3]}" for row in PLANTED])
def test_a_planted_violation_is_found(rule: str, path: str, text: str, message: str) -> None:
    assert any(message in found for found in RULES[rule](Source(path, text)))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pipelines/cli/show.py", "print(1)"),
        ("recsys/semantic_ids/model.py", "import transformers"),
        ("unlearning/concept/mask.py", "from peft import LoraConfig"),
        ("pipelines/recommend.py", "from db.records import Item"),
        ("llm/ranking.py", "import dataclasses\nimport numpy\nfrom recsys.candidates import Candidates"),
    ],
)
def test_what_is_allowed_stays_allowed(path: str, text: str) -> None:
    rules = [shape.away_from_home, shape.against_the_arrow, shape.printing, heavy_shared_types]
    assert list(chain.from_iterable(rule(Source(path, text)) for rule in rules)) == []


@pytest.mark.parametrize("rule", RULES)
def test_every_module_keeps_the_rule(rule: str) -> None:
    assert PRODUCT, "no product modules found"
    assert_none(chain.from_iterable(RULES[rule](source) for source in PRODUCT))


def test_violations_are_told_one_a_line() -> None:
    with pytest.raises(AssertionError, match=r"first\n *second"):
        assert_none(["first", "second"])


def test_length_counts_code_lines_alone() -> None:
    text = 'def f():\n    """One.\n\n    Two.\n    """\n    # a remark\n\n    x = (\n        1\n    )\n    return x\n'
    source = Source("db/a.py", text)
    assert shape.function_length(source, source.functions[0]) == 5  # def, three lines of x, return


def test_percentile() -> None:
    assert shape.percentile_95(list(range(101))) == 95
    assert shape.percentile_95([7]) == 7


def test_function_lengths() -> None:
    lengths = {source.at(f, f.name): shape.function_length(source, f) for source in PRODUCT for f in source.functions}
    assert_none(
        f"{name}: {length} lines ({FUNCTION_MOST})" for name, length in lengths.items() if length > FUNCTION_MOST
    )
    assert statistics.mean(lengths.values()) <= FUNCTION_MEAN
    assert shape.percentile_95(list(lengths.values())) <= FUNCTION_P95


def test_module_lengths() -> None:
    lengths = {source.path: shape.module_length(source) for source in PRODUCT if not shape.is_bare_package(source)}
    assert_none(f"{path}: {length} lines ({MODULE_MOST})" for path, length in lengths.items() if length > MODULE_MOST)
    assert statistics.median(lengths.values()) <= MODULE_MEDIAN


def test_a_package_file_with_a_docstring_alone_is_no_module() -> None:
    assert shape.is_bare_package(Source("db/__init__.py", '"""Stores."""\n'))
    assert not shape.is_bare_package(Source("db/__init__.py", '"""Stores."""\nx = 1\n'))


def test_duplication_is_found() -> None:
    body = "\n".join(f"    x{number} = call({number})" for number in range(6))
    first = Source("db/a.py", f"def f():\n{body}\n    return 1\n")
    second = Source("llm/b.py", f"def g():\n    y = 2\n{body.replace(' = ', '  =  ')}\n    # a remark\n    return 2\n")
    share, where = shape.duplication([first, second])
    assert share == pytest.approx(12 / 17)  # six of eight lines, six of nine
    assert where[0] == "db/a.py:2"
    assert where[6] == "llm/b.py:3"


def test_five_equal_lines_or_a_run_that_overlaps_itself_are_no_duplication() -> None:
    body = "\n".join(f"x{number} = {number}" for number in range(5))
    assert shape.duplication([Source("db/a.py", f"a = 1\n{body}"), Source("db/b.py", f"b = 1\n{body}")])[0] == 0
    assert shape.duplication([Source("db/a.py", "step()\n" * 8)])[0] == 0
    assert shape.duplication([Source("db/a.py", "step()\n" * 12)])[0] == 1


def test_duplication() -> None:
    share, where = shape.duplication(PRODUCT)
    assert share <= DUPLICATION_MOST, f"{share:.1%} duplicated:\n" + "\n".join(where)


@pytest.mark.parametrize(
    "text",
    [
        "def test_a(): pass",
        "def test_a(): assert True",
        "def test_a(x): assert x == x",
        "def test_a(): run()\ndef run(): return 1",
        "class A:\n  def test_a(self): print(1)",
    ],
)
def test_an_idle_test_is_found(text: str) -> None:
    assert shape.idle_tests([Source("tests/test_a.py", text)])


@pytest.mark.parametrize(
    "text",
    [
        "def test_a(x): assert x",
        "def test_a(): assert run(0) == run(0)",
        "def test_a():\n  with pytest.raises(ValueError): f()",
        "def test_a(): np.testing.assert_allclose(1, 1)",
        "def test_a(): outer()\ndef outer(): agrees()\ndef agrees(): assert f() == 1",
    ],
)
def test_an_asserting_test_is_left_alone(text: str) -> None:
    assert shape.idle_tests([Source("tests/test_a.py", text)]) == []


def test_every_test_asserts_something() -> None:
    assert_none(shape.idle_tests(TESTS))


def test_a_folder_of_tests_without_init_is_found() -> None:
    files = ["tests/__init__.py", "tests/db/test_a.py", "tests/llm/__init__.py", "tests/llm/test_b.py", "docs/x.py"]
    assert shape.packageless(files) == ["tests/db"]


def test_every_folder_of_tests_is_a_package() -> None:
    assert_none(f"{folder}: no __init__.py" for folder in shape.packageless(FILES))


def test_wrong_root_folders_are_found() -> None:
    files = [f"{name}/__init__.py" for name in (*shape.PACKAGES, "tests")] + ["pyproject.toml"]
    assert shape.wrong_root_folders(files) == []
    assert shape.wrong_root_folders([*files, "utils/a.py"]) == ["utils/ does not belong at the root"]
    assert shape.wrong_root_folders(files[1:]) == ["db/ is missing"]


def test_root_folders() -> None:
    assert_none(shape.wrong_root_folders(FILES))


@pytest.mark.parametrize("path", ["@work@main", "see ..@shared", '"@tmp@x', "sqlite:///@home@me@lethe.db"])
def test_a_path_of_somebodys_machine_is_found(path: str) -> None:
    text = f"one\n{path}\n".replace("@", "/")
    assert [found.split()[0] for found in shape.foreign_paths("README.md", text)] == ["README.md:2"]


def test_a_path_inside_the_repository_is_not() -> None:
    assert list(shape.foreign_paths("README.md", "lethe-root/tmp/x {root}/work/y https://a.example/home/z")) == []


def test_nothing_tracked_names_a_path_of_somebodys_machine() -> None:
    found: list[str] = []
    for name in FILES:
        content = (ROOT / name).read_bytes()
        if b"\0" not in content:
            found += shape.foreign_paths(name, content.decode("utf-8"))
    assert_none(found)


def test_files_that_git_ignores_are_not_measured(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for name in ("db/kept.py", "db/new.py", "build/out.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    (tmp_path / ".gitignore").write_text("/build/\n")
    subprocess.run(["git", "-C", str(tmp_path), "add", "db/kept.py"], check=True)
    assert shape.repository_files(tmp_path) == [".gitignore", "db/kept.py", "db/new.py"]
    assert [source.path for source in shape.sources(tmp_path, ["db", "build"])] == ["db/kept.py", "db/new.py"]


# What importing a package brings along, seen from a new process.


def modules_after(statement: str) -> set[str]:
    """The roots of all modules that are loaded once a new interpreter has run a statement."""
    code = f"{statement}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines()[-1].split())


def modules_of(*folders: str) -> list[str]:
    """The dotted names of the modules under some folders."""
    paths = [source.path for source in PRODUCT if shape.inside(source.path, folders)]
    return [re.sub(r"/__init__$", "", path.removesuffix(".py")).replace("/", ".") for path in paths]


def test_a_library_that_is_imported_is_seen() -> None:
    assert {"sqlalchemy", "json"} <= modules_after("import sqlalchemy, json")


def test_the_language_model_runs_without_the_libraries_of_the_other_layers() -> None:
    names = modules_of("llm", "unlearning/concept")
    assert "llm.ranking" in names
    loaded = modules_after("import " + ", ".join(name for name in names if not name.endswith("__main__")))
    assert loaded & {"recbole", "faiss", "polars", "sqlalchemy", "alembic", "sentence_transformers", "typer"} == set()


@pytest.mark.skipif(not (ROOT / "pipelines/cli/app.py").exists(), reason="the command line does not exist yet")
def test_the_command_line_starts_without_a_heavy_library() -> None:
    heavy = {"torch", "transformers", "peft", "recbole", "faiss", "sentence_transformers", "polars", "pandas", "plotly"}
    assert modules_after("import pipelines.cli.app") & heavy == set()
