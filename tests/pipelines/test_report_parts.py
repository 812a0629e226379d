"""The parts of the report by hand: markup that escapes, Markdown as markup, maps with a table behind them."""

import json
import re
from html import unescape

import polars as pl
import pytest

from pipelines.evaluate.pictures import Dot, Picture
from pipelines.evaluate_concepts.charts import Chart, Point, Series
from pipelines.report import figures
from pipelines.report.comparison import command, grouped, newest
from pipelines.report.figures import Heat
from pipelines.report.localise import BINS, neurons
from pipelines.report.markdown import LEGEND, LONG, rendered
from pipelines.report.markup import SHORT, Html, absent, table, tag, text

EVIL = "<a href='http://evil'>&</a>"


def cells(markup):
    """The body of the first table, row by row."""
    rows = re.findall(r"<tr>(.*?)</tr>", markup.partition("<tbody>")[2])
    return [[unescape(one) for one in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def spec(markup):
    """What plotly is to draw."""
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', markup).group(1))


def test_values_are_escaped_in_text_and_in_attributes():
    assert EVIL not in tag("p", EVIL, title=EVIL)
    assert unescape(re.search(r">(.*)</p>", tag("p", EVIL)).group(1)) == EVIL
    assert text(Html("<b>")) == "<b>"
    assert tag("td", None, hidden=False, colspan=2) == '<td colspan="2"></td>'
    assert EVIL not in absent(EVIL, EVIL)


def test_a_table_has_heads_in_both_directions_and_breaks_nothing_short():
    made = table(("a", "b"), [("x", "y" * SHORT), ("z", "y" * (SHORT + 1))], tag("b", EVIL))
    assert made.count('scope="col"') == 2
    assert made.count('scope="row"') == 2
    assert made.count('class="short"') == 3
    assert 'role="region"' in made
    assert "<b" not in re.search(r'aria-label="(.*?)"', made).group(1)


def test_markdown_becomes_markup_and_what_stands_in_cells_does_not():
    page = "\n\n".join(
        [
            "# Title",
            "## Reading\n\n<!-- reading -->\nwhat a person wrote\n<!-- end of reading -->",
            f"## {LEGEND}",
            "- **one**: thing\n  told on two lines\n- another",
            f"## Part {EVIL}",
            "**A caption**, of figures",
            f"| head | other |\n| --- | --- |\n| {EVIL} | a\\|b **bold** |",
            "![A picture](folder/drawn.svg)",
            "Made by `lethe x`.",
        ]
    )
    made = rendered(page, {"drawn": Html("<figure></figure>")}, deeper=2)
    assert EVIL not in made
    assert cells(made) == [[EVIL, "a|b <strong>bold</strong>"]]
    assert "what a person wrote" not in made
    assert "Title" not in made
    assert f"<details><summary>{LEGEND}</summary>" in made
    assert "thing told on two lines" in made
    assert made.count("<h4>") == 1
    assert "<figure></figure>" in made
    assert "<code>lethe x</code>" in made
    assert "<strong>A caption</strong>, of figures</span></caption>" in made


def test_a_long_table_opens_on_demand_and_an_empty_one_says_so():
    long = "\n".join(["| a |", "| --- |", *(f"| {n} |" for n in range(LONG + 1))])
    assert f"({LONG + 1} rows)" in rendered(f"## Part\n\n{long}", {}, deeper=1)
    empty = rendered("## Part\n\n**Audits**\n\n| a |\n| --- |", {}, deeper=1)
    assert "nothing is measured yet" in empty
    assert "<table" not in empty


def test_a_map_has_its_figures_behind_it_and_nothing_where_there_is_none():
    made = figures.heat(Heat("A map", ["one", EVIL], ["x", "y"], [[0.5, float("nan")], [1, 2]], "τ", ends=(0, 1)))
    drawn = spec(made)["data"][0]
    assert drawn["z"] == [[0.5, None], [1, 2]]
    assert drawn["y"] == ["one", "&lt;a href='http://evil'&gt;&amp;&lt;/a&gt;"], "plotly reads labels as markup"
    assert cells(made) == [["one", "0.5", ""], [EVIL, "1", "2"]]
    assert EVIL not in made


def test_curves_and_points_tell_every_value():
    series = [Series("s", [Point(1, 0.25, 0.1, 0.2, EVIL), Point(2, float("nan"))]), Series("t", [Point(3, 1)])]
    made = figures.chart(Chart("Points", "across", "up", series, (False, True)))
    assert [one["x"] for one in spec(made)["data"]] == [[1], [3]]
    assert cells(made)[0] == [EVIL, "s", "1", "0.25", "0.1", "0.2"]
    assert EVIL not in made
    low, high = spec(made)["layout"]["xaxis"]["range"]
    assert low < 1
    assert high > 3


def test_a_still_picture_keeps_its_dots_and_gains_room_for_labels():
    label = "a label that is much longer than the margin of a picture"
    made = figures.picture(Picture("Dots", [(label, [Dot("one", 1.0, 0.5, 1.5)]), ("b", [Dot("two", 2.0)])]))
    left = -int(re.search(r'viewBox="(-?\d+) ', made).group(1))
    assert left > 100
    assert made.count("<circle") == 4, "two dots, two of the legend"
    assert cells(made) == [[label, "one", "1", "0.5", "1.5"], ["b", "two", "2", "", ""]]


@pytest.mark.parametrize("width", [5, BINS, 3 * BINS + 1])
def test_neurons_share_columns_by_the_highest_of_them(width):
    rows = [("neuron", layer, place, float(layer * width + place)) for layer in range(2) for place in range(width)]
    rows.append(("head", 0, 0, 1e9))
    made = neurons(pl.DataFrame(rows, schema=["kind", "layer", "place", "saliency"], orient="row"), "base")
    assert len(made.columns) == min(width, BINS)
    assert made.values[0][-1] == width - 1
    assert made.values[1][-1] == 2 * width - 1
    assert max(map(max, made.values)) == 2 * width - 1
    assert made.columns[-1].endswith(str(width - 1))


def test_commands_are_quoted_and_name_everything_once():
    options = [("concept", "Star Trek"), ("quick", True), ("model", None), ("unseen", False), ("seed", 0)]
    assert command("drift", options=options) == "lethe drift --concept 'Star Trek' --quick --seed 0"


def test_the_newest_group_comes_first_and_its_newest_cell_counts():
    values = [("a", 1), ("b", 2), ("a", 3)]
    assert grouped(values, lambda one: one[0]) == [[("a", 1), ("a", 3)], [("b", 2)]]
    assert newest(values, lambda one: one[0]) == [("a", 3), ("b", 2)]
