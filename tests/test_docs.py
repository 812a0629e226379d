"""What the documents tell a reader to type must work: against the real command line, Makefile and benchmarks."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
APP = ROOT / "pipelines/cli/app.py"
needs_app = pytest.mark.skipif(not APP.exists(), reason="the command line does not exist yet")

Path_ = tuple[str, ...]


# Reading documents.


def shell_lines(markdown: str) -> list[str]:
    """The command lines of the ```sh blocks, continued lines joined, a leading `$` taken off."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", markdown, flags=re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("$ ") for line in lines if line.strip()]


def simple_commands(line: str) -> list[list[str]]:
    """The programs that a shell line starts, each with its arguments; no redirections, assignments or comments."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    skip = False
    for token in lexer:
        if skip:
            skip = False
        elif set(token) <= set("<>"):
            skip = True
        elif set(token) <= set("|&;()"):
            commands.append([])
        elif commands[-1] or not re.match(r"\w+=", token):
            commands[-1].append(token)
    return [command for command in commands if command]


def typed(text: str, program: str) -> list[list[str]]:
    """The arguments of every call of one program in a document's shell blocks."""
    commands = [command for line in shell_lines(text) for command in simple_commands(line)]
    return [command[1:] for command in commands if command[0].rsplit("/", 1)[-1] == program]


def examples(help_text: str) -> list[list[str]]:
    """The arguments of the `lethe` commands shown in a help text."""
    lines = [line.strip().removeprefix("$ ") for line in help_text.splitlines()]
    shown = [line for line in lines if re.match(r"(\w+ [^|]*\| )?lethe ", line)]
    return [command[1:] for line in shown for command in simple_commands(line) if command[0] == "lethe"]


# Asking the command line.


def commands(command: object, path: Path_ = ()) -> Iterator[tuple[Path_, TyperCommand]]:
    """Every visible command of a command tree, with the words that call it."""
    if isinstance(command, TyperGroup):
        context = command.make_context("lethe", [], resilient_parsing=True)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*path, name))
    elif isinstance(command, TyperCommand) and not command.hidden:
        yield path, command


def tree(app: typer.Typer) -> dict[Path_, TyperCommand]:
    """The visible commands of an application."""
    return dict(commands(typer.main.get_command(app)))


def refusal(app: typer.Typer, arguments: list[str]) -> str | None:
    """What the parser says against some arguments; None when it takes them. Nothing is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TyperCommand, "invoke", lambda self, context: None)
        result = CliRunner().invoke(app, arguments, prog_name="lethe")
    return None if result.exit_code == 0 else f"lethe {shlex.join(arguments)}: {result.output or result.exception}"


def helpless(app: typer.Typer) -> list[str]:
    """Commands whose `--help` fails, says nothing, or shows no example that parses."""
    faults = []
    for path, command in tree(app).items():
        name = " ".join(path)
        result = CliRunner().invoke(app, [*path, "--help"], prog_name="lethe")
        if result.exit_code != 0 or "Usage" not in result.output or not command.help:
            faults.append(f"{name}: --help fails or says nothing")
        shown = examples(f"{command.help or ''}\n{command.epilog or ''}")
        if not any(tuple(example[: len(path)]) == path for example in shown):
            faults.append(f"{name}: no example in --help")
        faults += [told for example in shown if (told := refusal(app, example))]
    return faults


def real_app() -> typer.Typer:
    """The application itself."""
    app = importlib.import_module("pipelines.cli.app").app
    assert isinstance(app, typer.Typer)
    return app


# The checks themselves, on a small application with known faults.


def small_app() -> typer.Typer:
    """A command line with one good command, one without help, and one whose example does not parse."""
    app = typer.Typer()
    forget = typer.Typer()
    app.add_typer(forget, name="forget")

    @app.command(epilog="lethe train --epochs 3")
    def train(epochs: Annotated[int, typer.Option()] = 1) -> None:
        """Train."""
        raise RuntimeError("a document's command was run")

    @app.command()
    def status() -> None:
        pass

    @forget.command()
    def user(names: list[str]) -> None:
        """Forget.

        lethe forget user 42
        printf '42' | lethe forget users -
        """

    return app


README = """
Not a command: `lethe nothing`.

```sh
make demo && LETHE_ROOT=here lethe train --epochs 3 > log.txt  # a remark
cut -f1 users.txt | .venv/bin/lethe forget user - \\
    42
```

```
lethe also-not-a-command
```
"""


def test_commands_are_read_from_shell_blocks_alone() -> None:
    assert typed(README, "lethe") == [["train", "--epochs", "3"], ["forget", "user", "-", "42"]]
    assert typed(README, "make") == [["demo"]]


def test_the_command_tree_is_walked() -> None:
    assert list(tree(small_app())) == [("train",), ("status",), ("forget", "user")]


def test_a_good_command_is_taken_and_not_run() -> None:
    assert [refusal(small_app(), arguments) for arguments in typed(README, "lethe")] == [None, None]


@pytest.mark.parametrize("line", ["train --epoch 3", "train --epochs many", "forget", "forget user", "recommend 42"])
def test_a_wrong_command_is_refused(line: str) -> None:
    assert refusal(small_app(), line.split())


def test_poor_help_is_found() -> None:
    faults = helpless(small_app())
    assert faults[:2] == ["status: --help fails or says nothing", "status: no example in --help"]
    assert len(faults) == 3
    assert faults[2].startswith("lethe forget users -:")


# The real documents.


@needs_app
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documented_commands_parse(document: Path) -> None:
    app = real_app()
    told = [refusal(app, arguments) for arguments in typed(document.read_text(encoding="utf-8"), "lethe")]
    assert [fault for fault in told if fault] == []


@needs_app
def test_every_command_is_in_the_readme() -> None:
    readme = DOCUMENTS[0].read_text(encoding="utf-8")
    assert typed(readme, "lethe"), "the README shows no lethe command"
    assert [" ".join(path) for path in tree(real_app()) if f"lethe {' '.join(path)}" not in readme] == []


@needs_app
def test_every_help_page_works_and_shows_examples_that_parse() -> None:
    assert helpless(real_app()) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documented_targets_and_benchmarks_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    asked = {word for arguments in typed(text, "make") for word in arguments if "=" not in word and word[0] != "-"}
    assert asked <= targets
    modules = [arguments[arguments.index("-m") + 1] for arguments in typed(text, "python") if "-m" in arguments]
    ours = [
        name for name in modules if name.split(".")[0] in ("benchmarks", "pipelines", "llm", "unlearning", "recsys")
    ]
    assert [name for name in ours if not (ROOT / f"{name.replace('.', '/')}.py").exists()] == []
