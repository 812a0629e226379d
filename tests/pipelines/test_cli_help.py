"""`lethe --help` is a reader's first map: every command, in the order in which one needs them."""

import re

from typer.main import get_command

from pipelines.cli.app import app

WAY = ("ingest", "train", "recommend", "forget", "erase", "status", "verify", "doctor", "demo")


def test_commands_stand_in_the_order_of_the_way_through(empty):
    shown = empty.ok("--help").out
    listed = re.findall(r"^  ([a-z]+)  ", shown[shown.index("Commands:") :], flags=re.MULTILINE)
    assert [name for name in listed if name in WAY] == list(WAY)


def test_no_command_is_left_out_of_the_list(empty):
    shown = empty.ok("--help").out
    assert [name for name in get_command(app).commands if f"\n  {name}  " not in shown] == []
