"""The report of a small store: its figures are the store's, nobody forgotten is named, and a browser shows it."""

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from db import catalogue, files
from db.files import destroy
from pipelines.compare.run import run as run_layers
from pipelines.compare.summary import summarise as told_layers
from pipelines.drift.run import Wish as DriftWish
from pipelines.drift.run import run as run_drift
from pipelines.drift.summary import read as read_drift
from pipelines.drift.summary import summarise as told_drift
from pipelines.evaluate.keep import StoreKeeper
from pipelines.evaluate_concepts.run import run as run_concepts
from pipelines.evaluate_concepts.summary import summarise as told_concepts
from pipelines.localise.run import Wish as LocaliseWish
from pipelines.localise.run import run as run_localise
from tests.pipelines import comparisons, concept_evaluations, drifting
from tests.pipelines.commands import OTHER, PEOPLE, SOMEBODY, THIRD, Lethe, erased, forgotten, ingest_words, write_data
from tests.pipelines.drifting import Acting, Forgetful, Positional
from tests.pipelines.test_localise import FEW, TWO

HOSTILE = "<script>alert(1)</script>|**x**"
SURFACES = ("served list", "candidates", "answers", "quality of the rest")
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="session")
def shown(tmp_path_factory):
    """A root with requests in every state and cells of every kind, its page, and what the measurements told."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LETHE_DB", raising=False)
        patch.setenv("LETHE_ROOT", str(folder / "root"))
        patch.chdir(folder)
        lethe = Lethe(folder / "root")
        write_data(folder)
        goods = (folder / "items.csv").read_text().replace("Film number 4,", f"{HOSTILE},")
        (folder / "items.csv").write_text(goods)
        lethe.ok(*ingest_words(folder))
        lethe.ok("train", "--backbone", "ease", "--scorer", "off")
        gone = forgotten(lethe, SOMEBODY)
        certificate = erased(lethe)[0]
        hidden = forgotten(lethe, OTHER)
        lethe.ok("forget", "concept", HOSTILE, "--item", "f04", "--layer", "retrieval", "--yes")
        lethe.ok("forget", "concept", "their own", "--item", "f05", "--layer", "retrieval", "--user", THIRD, "--yes")
        told = measured(lethe)
        page = lethe.ok("report", "--out", folder / "page.html")
        assert page.out.strip() == str(folder / "page.html")
        text = (folder / "page.html").read_text(encoding="utf-8")
        yield SimpleNamespace(lethe=lethe, text=text, told=told, gone=gone, hidden=hidden, certificate=certificate)
        lethe.close()


def measured(lethe):
    """Cells of every kind in the store, with what each command's own summary tells of them."""
    words = (
        "evaluate",
        "forgetting",
        "--backbone",
        "ease",
        "--protocol",
        "users-5",
        "--method",
        "shield",
        "--seeds",
        1,
    )
    with lethe.store.reading() as unit:
        epoch = catalogue.epoch(unit)
    keeper = StoreKeeper(lethe.store, epoch)
    lab = drifting.lab_of(None, packed=Forgetful, listwise=Positional, forgotten=Acting(), adapters={"Horror": "abc"})
    lab.keeper, wish = keeper, DriftWish(("packed", "listwise"), draws=1)
    drifted = run_drift(lab, wish)
    looked = drifting.lab_of(None, FEW)
    looked.keeper = keeper
    run_localise(looked, LocaliseWish(neurons=8, wordings=TWO))
    layers, wanted = comparisons.lab_of(None), comparisons.wish(surfaces=SURFACES)
    layers.concepts.keeper = keeper
    compared = run_layers(layers, wanted)
    about, grid = layers.concepts, concept_evaluations.grid("prompt", attacked=("prompt",))
    (fork,) = about.forks[concept_evaluations.TITLE]
    about.forks[concept_evaluations.TITLE] = (fork, replace(fork, fingerprint="second"))
    about.others = (replace(fork, fingerprint="again"),)
    asked = run_concepts(about, grid)
    return {
        "layers": told_layers(layers, compared, wanted.arms),
        "forgetting": lethe.read(*words),
        "drift": told_drift(lab, wish, drifted, read_drift(lab, wish, drifted)),
        "concepts": told_concepts(about, grid, asked),
    }


class Tags(HTMLParser):
    """Start tags with their attributes, and the text inside figures' tables."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.figures = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "figure":
            self.figures.append([])
        elif self.figures and self.figures[-1] is not None:
            self.figures[-1].append(tag)

    def handle_endtag(self, tag):
        if tag == "figure":
            self.figures.append(None)


def test_requests_and_their_state_are_told_without_naming_anybody(shown):
    line = re.search(r'<p class="line">(.*?)</p>', shown.text).group(1)
    assert line == ("2 requests to forget a person&#x27;s data and 2 concepts to be forgotten: 3 done, 1 is pending.")
    for request in (shown.gone, shown.hidden):
        assert f"<code>{request}</code>" in shown.text
    assert shown.certificate["commitment"] in shown.text
    for person in (SOMEBODY, OTHER, THIRD, *PEOPLE):
        assert person not in shown.text
    assert "their own" not in shown.text.replace("one person&#x27;s own", "")


def test_a_hostile_title_is_text(shown):
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown.text
    assert "<script>alert" not in shown.text
    for held in re.findall(r'<script type="application/json">(.*?)</script>', shown.text):
        assert "<" not in held
        json.loads(held)


def test_audits_are_those_of_the_store(shown):
    own = shown.text.partition(f"Audits of {shown.gone}</span></caption>")[2].partition("</table>")[0]
    rows = re.findall(r"<tr><th[^>]*>([\w-]+)</th>(.*?)</tr>", own)
    shown_audits = {name: re.findall(r"<td[^>]*>(.*?)</td>", rest) for name, rest in rows}
    for audit in shown.certificate["audits"]:
        value, limit, _, control, ended, _ = shown_audits[audit["audit"]]
        assert (value, limit, control) == tuple(f"{audit[key]:.4g}" for key in ("value", "limit", "control"))
        assert ended == '<strong class="good">passed</strong>'
    assert "verified: " in shown.text


def test_figures_of_the_comparisons_are_those_of_their_own_summaries(shown):
    for row in shown.told["forgetting"]["tables"][0]["rows"]:
        assert f"{row['utility']['metrics']['ndcg@10']['mean']:.4f}" in shown.text
    for table in shown.told["drift"]["tables"]:
        for one in table["models"]:
            for row in one["rows"]:
                found = row["tau"]
                assert (found is None) == (row["unusable"] == row["answers"]) == (row["kind"] == "reasoning first")
                assert found is None or f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]" in shown.text
    (concept,) = shown.told["concepts"]["concepts"]
    for row in concept["rows"]:
        assert f"{row['measures']['direct accuracy']['value']:.3f}" in shown.text
    assert "relearn" in shown.text
    assert concept["oracles"] == ["another", "second"]
    assert "Oracles <code>another</code>, <code>second</code>; replicate of the base <code>again</code>" in shown.text
    assert concept["replicates"] == ["again"]
    assert "--replicate DIR" in shown.text
    beside = [(one["seed"], one["beside"]) for row in concept["rows"] for one in row["depth"]]
    assert beside == [(0, "second"), (1, "another"), (0, "another"), (0, "second")]
    assert "score by seed; by oracle" in shown.text
    (concept,) = shown.told["layers"]["concepts"]
    for surface in concept["surfaces"]:
        for row in surface["rows"]:
            assert f'<td class="short">{row["value"]:.3f}' in shown.text


def test_commands_seeds_and_hashes_are_named(shown):
    assert "lethe evaluate forgetting --backbone ease --protocol users-5" in shown.text
    assert "lethe drift --scorer packed --scorer listwise --users 5" in shown.text
    assert shown.told["forgetting"]["split"]["id"] in shown.text
    assert shown.told["drift"]["model"]["fingerprint"] in shown.text


def test_the_command_beside_a_table_finds_its_cells_again(shown):
    typed = unescape(re.search(r"<code>(lethe evaluate forgetting --[^<]*)</code>", shown.text).group(1))
    found = shown.lethe.read(*shlex.split(typed)[1:])
    assert found["cells"] == {"finished": 5, "measured_now": 0, "left": 0}
    assert found["tables"][0]["rows"][0]["utility"] == shown.told["forgetting"]["tables"][0]["rows"][0]["utility"]


def test_the_page_asks_nobody_for_anything_and_holds_a_table_behind_every_figure(shown):
    found = Tags(shown.text)
    for _, attributes in found.tags:
        for name in ("src", "href", "action", "data", "poster"):
            assert not (attributes.get(name) or "#").startswith(("http", "//", "file"))
    assert len(shown.text.encode()) < 10_000_000
    drawn = [one for one in found.figures if one]
    assert len(drawn) > 8
    for one in drawn:
        assert "table" in one
        assert "details" in one
    assert shown.text.count("<h1") == 1
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_what_a_forget_request_withdrew_is_said_with_what_would_measure_it(shown, tmp_path):
    copy = Lethe(tmp_path / "root")
    shutil.copytree(shown.lethe.root, copy.root)
    forgotten_cells = copy.ok("forget", "user", THIRD, "--root", copy.root)
    assert forgotten_cells.status == 0
    copy.ok("report", "--root", copy.root, "--out", tmp_path / "after.html")
    text = (tmp_path / "after.html").read_text()
    assert re.search(r"[1-9]\d* kept cells were withdrawn", text)
    assert text.count("Not measured on the rows of this store as they are now") >= 4
    assert "data-plot" not in text
    assert len(text) < 100_000, "no plotly where nothing is drawn by it"


def test_a_damaged_cell_is_told_and_left_out(shown, tmp_path):
    copy = Lethe(tmp_path / "root")
    shutil.copytree(shown.lethe.root, copy.root)
    cell = next((copy.root / "artifacts" / "evaluation").glob("drift-packed-typos-*/gen-*/cell.json"))
    cell.write_text(cell.read_text() + " ")
    for folder in (copy.root / "artifacts" / "evaluation").glob("*"):
        if not folder.name.startswith("drift-packed"):
            destroy(folder)
    copy.ok("report", "--root", copy.root, "--out", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert f">{cell.parents[1].name}</th>" in text


def test_the_page_is_written_whole_and_told_to_programs(lethe, tmp_path):
    out = tmp_path / "page.html"
    found = lethe.read("report", "--out", out)
    assert found == {"report": str(out), "bytes": out.stat().st_size}
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("place", ["missing/page.html", ".", "root/page.html"])
def test_a_page_that_cannot_be_written_is_told_in_one_line(lethe, tmp_path, place):
    outcome = lethe("report", "--out", tmp_path / place)
    assert outcome.status == 1
    assert "--out" in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


def test_a_missing_root_is_told(empty, tmp_path):
    outcome = empty("report", "--out", tmp_path / "page.html")
    assert outcome.status == 1
    assert "no store in" in outcome.err
    assert not (tmp_path / "page.html").exists()


def test_a_store_with_nothing_measured_says_so_without_plots(lethe, tmp_path):
    lethe.ok("report", "--out", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "Nobody has asked for anything to be forgotten yet." in text
    for command in ("evaluate forgetting", "evaluate concepts", "evaluate tracer", "compare", "drift", "localise"):
        assert f"<code>lethe {command}</code>" in text
    assert "<figure" not in text
    assert "<script" not in text


def browser(page: Path, *options: object) -> tuple[str, list[str]]:
    """The page as Chromium has it once its scripts have run, and whatever it wrote to the console."""
    if CHROMIUM is None:
        if os.environ.get("LETHE_REQUIRE_CHROMIUM"):
            pytest.fail("chromium is missing, and LETHE_REQUIRE_CHROMIUM is set")
        pytest.skip("chromium is not installed")
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0")
    command = [CHROMIUM, *flags, *map(str, options), f"file://{page}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_chromium_draws_every_plot_and_has_nothing_to_complain_of(shown, tmp_path):
    page = tmp_path / "page.html"
    files.write_atomic(page, lambda place: place.write_text(shown.text, encoding="utf-8"))
    dom, console = browser(page, "--window-size=1280,900", "--virtual-time-budget=8000", "--dump-dom")
    assert console == []
    assert dom.count("data-plot=") == shown.text.count("data-plot=") > 3
    assert dom.count('class="js-plotly-plot"') == shown.text.count("data-plot=")
