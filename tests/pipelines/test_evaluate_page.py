"""The page: the figures of the cells, what is void or failed called so, pictures that a browser can read."""

import json
import re
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from pipelines.cli.output import plain
from pipelines.evaluate.methods import METHODS, Method
from pipelines.evaluate.page import BEGIN, END, About, Part, Section, made, reading, write
from pipelines.evaluate.page_tables import markdown
from pipelines.evaluate.pictures import LEFT, RIGHT, WIDTH, Dot, Picture, svg
from pipelines.evaluate.run import run
from pipelines.evaluate.summary import summarise
from pipelines.evaluate.words import judged
from tests.pipelines.evaluations import grid, lab_of, toy_data

ABOUT = About(
    datetime(2026, 2, 3, tzinfo=UTC),
    "lethe evaluate forgetting",
    {"cores": 2, "processor": "x86_64", "python": "3.11.9"},
    notes=("seeds 0 and 1",),
)


class Failing:
    """A method that cannot do what it is asked."""

    name = "failing"

    def __init__(self, fitting):
        self._fitting = fitting

    def fit(self, log, *, seed, progress=None):
        from db.errors import LetheError

        raise LetheError("the shards are too small")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """EASE for 120 people, as it is stored: JSON."""
    methods = {**METHODS, "failing": Method("failing", ("ease",), Failing, plain_fit=False)}
    lab = lab_of(tmp_path_factory.mktemp("cells"), toy_data(users=120, items=60, each=20), methods)
    outcome = run(lab, grid("shield", "downdate", "failing", seeds=2))
    return json.loads(json.dumps(plain(summarise(lab, outcome))))


def page(*documents, sections=()):
    parts = [Part(f"Data {number}", document) for number, document in enumerate(documents)]
    return made(ABOUT, parts, sections, folder="here")


def lines_of(text, title):
    """The cells of the table under a bold title."""
    after = text[text.index(f"**{title}**") :].split("\n\n")[1]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in after.splitlines()]


def row(document, method):
    return next(r for r in document["tables"][0]["rows"] if r["method"] == method)


def test_the_quality_table_holds_the_figures_of_the_cells(found):
    text, _ = page(found)
    header, _, *rows = lines_of(text, "Quality for the people who stay")
    named = {line[0]: dict(zip(header, line, strict=True)) for line in rows}
    for method, name in {"oracle": "oracle", "none": "none (no forgetting)", "downdate": "downdate"}.items():
        use = row(found, method)["utility"]
        assert named[name]["NDCG@10"] == f"{use['metrics']['ndcg@10']['mean']:.4f}"
        assert named[name]["HR@5"] == f"{use['metrics']['hit_rate@5']['mean']:.4f}"
        assert named[name]["seeds"] == str(row(found, method)["seeds"])
    assert named["oracle"]["of oracle"] == "1"
    assert named["downdate"]["of oracle"] == "1.000 [1.000, 1.000]"


def test_a_method_that_failed_is_named_with_what_it_said_and_its_figures_are_void(found):
    text, _ = page(found)
    rows = {line[0]: line for line in lines_of(text, "Quality for the people who stay")}
    assert rows["failing"][1] == "not measured"
    assert set(rows["failing"][2:]) == {"void"}
    assert re.search(r"\*\*failed\*\*: `ease-failing-users-5-0-[0-9a-f]{12}`: the shards are too small", text)


def test_what_no_forgetting_fails_is_over_and_what_cannot_be_told_is_void(found):
    text, _ = page(found)
    rows = {line[0]: line for line in lines_of(text, "Completeness")}
    assert rows["none (no forgetting)"][2].endswith("**over**")
    assert rows["downdate"][2].endswith("**ok**")
    assert rows["oracle"][2:5] == ["sets the limit"] * 3
    changed = json.loads(json.dumps(found))
    column = row(changed, "shield")["completeness"]["oracle-rbo neighbours"]
    column |= {"value": 0.1, "limit": 0.2, "void": 2, "passed": 0, "good": False}
    row(changed, "shield")["completeness"].pop("bias")
    row(changed, "shield")["utility"]["ratio"]["mean"] = None
    told = page(changed)[0]
    rows = {line[0]: line for line in lines_of(told, "Completeness")}
    assert rows["shield"][2] == "0.100 / 0.200 **void**"
    assert rows["shield"][4] == "void"
    assert {line[0]: line for line in lines_of(told, "Quality for the people who stay")}["shield"][-1] == "void"


def test_no_forgetting_and_the_oracle_are_rows_even_where_they_are_not_measured(found):
    changed = json.loads(json.dumps(found))
    changed["tables"][0]["rows"] = [r for r in changed["tables"][0]["rows"] if r["method"] == "shield"]
    rows = {line[0]: line for line in lines_of(page(changed)[0], "Quality for the people who stay")}
    assert rows["none (no forgetting)"][1] == rows["oracle"][1] == "not measured"


def test_some_seeds_within_the_limit_are_counted():
    base = {"value": 0.1, "limit": 0.2, "void": 0, "passed": 2, "seeds": 3}
    assert judged({**base, "good": False}) == "2 of 3"
    assert judged({**base, "good": True}) == "ok"
    assert judged({**base, "value": 0.3, "void": 3, "good": False}) == "over"


def test_those_who_asked_and_the_times_are_told(found):
    text, _ = page(found)
    asked = {line[0]: line for line in lines_of(text, "Those who asked")}
    mine = row(found, "shield")["asked"]
    assert asked["shield"][2] == f"{mine['before']:.3f}"
    assert asked["shield"][3].endswith(f"{mine['by_popularity']} by popularity")
    assert asked["shield"][4] == f"{mine['returned']:.3f} ({mine['oracle_returned']:.3f})"
    spent = {line[0]: line for line in lines_of(text, "Time")}
    assert spent["downdate"][3] == f"{row(found, 'downdate')['times']['work']:.4f}"
    assert spent["none (no forgetting)"][6] == ""
    assert spent["shield"][9] == "", "nobody was scored"


def test_re_ranked_lists_have_a_table_of_their_own_and_add_to_the_time(found):
    changed = json.loads(json.dumps(found))
    mine = row(changed, "downdate")
    mine["reranked"] = {**mine["utility"], "people": 7, "fallbacks": 3}
    mine["times"]["rerank_a_person"] = 0.25
    text, _ = page(changed)
    _, _, line = lines_of(text, "The same with the re-ranker")
    assert (line[0], line[1], line[-1]) == ("downdate", "7", "3")
    spent = {line[0]: line for line in lines_of(text, "Time")}
    assert spent["downdate"][-1] == f"{mine['times']['work'] + 0.25:.4f}"


def test_attacks_have_their_intervals_and_weak_memories_are_said(found):
    verdict = {"audit": "membership", "value": 0.9, "limit": 0.6, "control": 0.95, "oracle": 0.5, "void": False}
    span = {"mean": 0.9, "low": 0.85, "high": 0.95}
    states = {state: {"auc": span, "tpr": span} for state in ("before", "after", "oracle")}
    about = {"backbone": "ease", "method": "shield", "canaries": "people", "too_weak": False, "attacks": states}
    both = [{**about, "verdicts": [verdict]}, {**about, "method": "none", "too_weak": True, "verdicts": [verdict]}]
    text, _ = page({**found, "membership": both})
    told = "0.900 [0.850, 0.950] | " * 3
    assert f"| ease | people | shield | AUC | {told}0.600 | **over** |" in text
    assert f"| ease | people | none (no forgetting) | AUC | {told}0.600 | **too weak** |" in text
    older = {"backbone": "ease", "protocol": "users-5", "method": "downdate", **verdict, "audit": "versions"}
    text, _ = page({**found, "versions": [older]})
    assert "| ease | users-5 | downdate | 0.900 | 0.600 | 0.950 | 0.500 | **over** |" in text


def test_every_method_stands_beside_the_oracle_at_a_glance(found):
    text, _ = page(found)
    rows = {line[0]: line[1:] for line in lines_of(text, "At a glance")}
    assert rows["method"] == ["ease, users-5"]
    ratio = row(found, "none")["utility"]["ratio"]["mean"]
    assert rows["none (no forgetting)"] == [f"{ratio:.3f}, over"]
    assert rows["downdate"] == ["1.000, ok"]
    assert rows["oracle"] == ["1.000 to 1.000"]


def test_it_says_when_how_and_where_it_was_made_and_that_it_is_unfinished(found):
    text, _ = page(found, {**found, "cells": {**found["cells"], "left": 4}})
    assert "Made on 2026-02-03 by `lethe evaluate forgetting` on 2 cores, x86_64, Python 3.11.9" in text
    assert "- seeds 0 and 1" in text
    assert "Unfinished: 4 parts" in text
    assert found["split"]["id"] in text
    assert "Unfinished" not in page(found)[0]


def test_pictures_are_written_beside_the_page_and_every_link_leads_to_one(found, tmp_path):
    extra = Section("More", "see {gain}", {"gain": Picture("Gain", [("one", [Dot("g", 0.1, -0.1, 0.3)])], (0, 0))})
    write(tmp_path / "page.md", ABOUT, [Part("A & B", found)], [extra])
    text = (tmp_path / "page.md").read_text()
    links = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(links) == 3
    assert {tmp_path / link for link in links} == set((tmp_path / "page").iterdir())
    for link in links:
        root = ElementTree.parse(tmp_path / link).getroot()
        assert root.tag.endswith("svg")
        assert root.findall(".//{*}circle")


def test_what_a_person_wrote_stays_when_the_page_is_made_again(found, tmp_path):
    path = tmp_path / "page.md"
    write(path, ABOUT, [Part("A", found)])
    assert reading(path.read_text()) == ""
    path.write_text(path.read_text().replace("Nothing has been written here yet.", "The paper's claim\n\nfails."))
    write(path, ABOUT, [Part("A", found)])
    assert reading(path.read_text()) == "The paper's claim\n\nfails."
    assert path.read_text().count(BEGIN) == path.read_text().count(END) == 1


def test_a_dot_stands_where_its_value_is_and_names_are_escaped():
    drawn = svg(Picture("a < b", [("m & n", [Dot("s", 1.0)]), ("o", [Dot("s", 3.0)]), ("p", [Dot("s", 2.0)])]))
    root = ElementTree.fromstring(drawn)
    x = [float(circle.get("cx")) for circle in root.findall(".//{*}circle")]
    assert x[2] == pytest.approx((x[0] + x[1]) / 2)
    assert LEFT < x[0] < x[1] < WIDTH - RIGHT
    assert {"a < b", "m & n"} <= {text.text for text in root.findall(".//{*}text")}


def test_a_long_label_stands_inside_the_picture_and_before_its_dots():
    long = "list by the backbone alone (one person)"
    root = ElementTree.fromstring(svg(Picture("t", [(long, [Dot("s", 1.0)]), ("o", [Dot("s", 3.0)])])))
    (end,) = (float(text.get("x")) for text in root.findall(".//{*}text") if text.text == long)
    assert end - 6.2 * len(long) > 0
    assert end < min(float(circle.get("cx")) for circle in root.findall(".//{*}circle")) < WIDTH - RIGHT


def test_figures_that_are_none_are_left_out_of_a_picture():
    drawn = svg(Picture("t", [("m", [Dot("s", float("nan")), Dot("r", 1.0, float("nan"), 2.0)])]))
    root = ElementTree.fromstring(drawn)
    assert "nan" not in drawn
    assert len([c for c in root.findall(".//{*}circle") if c.find("{*}title") is not None]) == 1


def test_a_bar_inside_a_cell_does_not_split_it():
    assert markdown(("a",), [("x|y",)]).splitlines()[-1] == "| x\\|y |"


def test_ticks_are_round_and_series_come_in_the_order_asked_for():
    dots = [("m", [Dot("b", 0.117), Dot("a", 0.43)])]
    root = ElementTree.fromstring(svg(Picture("t", dots, order=("a", "never", "b"))))
    told = [text.text for text in root.findall(".//{*}text")]
    assert [text for text in told if text[0] == "0"] == ["0.2", "0.3", "0.4"]
    assert told.index("a") < told.index("b")
    assert "never" not in told
