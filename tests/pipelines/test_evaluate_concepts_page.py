"""The page of concepts: the figures of the cells, targets by hand, pictures whose points lie where they should."""

import json
import re
from datetime import UTC, datetime
from math import nan
from xml.etree import ElementTree

import pytest
from scipy.stats import ttest_ind_from_stats

from pipelines.cli.output import plain
from pipelines.evaluate.page import About, reading
from pipelines.evaluate_concepts import attacked, goals
from pipelines.evaluate_concepts.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, Point, Series, svg
from pipelines.evaluate_concepts.guidance import STEPS, compared, guidance
from pipelines.evaluate_concepts.page import made, write
from pipelines.evaluate_concepts.pictures import family, masks_compared, mean_of, relearning, tradeoff
from pipelines.evaluate_concepts.run import run
from pipelines.evaluate_concepts.summary import summarise
from pipelines.evaluate_concepts.trainings import Runs
from tests.pipelines.concept_evaluations import TITLE, fork, grid, lab_of
from unlearning.concept.base import ProbeKind
from unlearning.concept.evaluate import NAMESAKES, RANKING, TEXT, accuracy_of, preference_of
from unlearning.concept.probe_kinds import TITLE as TITLE_FORM

ABOUT = About(
    datetime(2026, 2, 3, tzinfo=UTC),
    "lethe evaluate concepts",
    {"cores": 2, "processor": "x86_64", "python": "3.11.9"},
    "Concepts",
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The summary of a small run, as JSON: an oracle, and a prompt that is attacked."""
    lab = lab_of(tmp_path_factory.mktemp("cells"))
    lab.forks[TITLE] = (fork(),)
    asked = grid("prompt", attacked=("prompt",))
    return json.loads(json.dumps(plain(summarise(lab, asked, run(lab, asked)))))


def lines_of(text, title):
    """The cells of the table under a bold title, by the first column."""
    after = text[text.index(f"**{title}") :].split("\n\n")[1]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in after.splitlines()]
    return {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines}


def without_oracle(found):
    """The same where no oracle was given."""
    changed = json.loads(json.dumps(found))
    (one,) = changed["concepts"]
    one["oracles"], one["telling"] = [], []
    one["rows"] = [{**row, "depth": []} for row in one["rows"] if row["method"] != "oracle"]
    return changed


def test_what_namesakes_are_known_for_stands_among_what_must_stay_where_there_are_any(found):
    text, _ = made(ABOUT, found, folder="page")
    assert not any("namesake" in columns for columns in lines_of(text, "What must stay").values())
    changed = json.loads(json.dumps(found))
    for row in changed["concepts"][0]["rows"]:
        row["measures"][NAMESAKES] = row["measures"][accuracy_of(ProbeKind.RETAIN)]
    text, _ = made(ABOUT, changed, folder="page")
    for columns in lines_of(text, "What must stay").values():
        assert columns["namesake"] in ("namesake", columns["retain"])


def test_the_memory_table_holds_the_figures_beside_the_oracle_or_says_why_not(found):
    text, _ = made(ABOUT, found, folder="here")
    rows = {row["label"]: row["measures"] for row in found["concepts"][0]["rows"]}
    table = lines_of(text, "Memory")
    direct = accuracy_of(ProbeKind.DIRECT)
    assert table["base"]["direct"] == f"{rows['base'][direct]['value']:.3f}"
    mine = rows["prompt"][direct]
    assert table["prompt"]["direct"] == f"{mine['value']:.3f} ({mine['gap']['mean']:+.3f})"
    untold = next(name for name, cell in rows["prompt"].items() if not cell["tells"] and name.startswith("reversed"))
    assert table["prompt"][untold.removesuffix(" accuracy")].endswith("(cannot tell)")
    kept = lines_of(text, "What must stay")["prompt"]["retain"]
    assert kept.startswith(f"{rows['prompt'][accuracy_of(ProbeKind.RETAIN)]['value']:.3f} (")


def test_every_method_stands_beside_its_targets(found):
    text, _ = made(ABOUT, found, folder="here")
    goal = next(g for g in found["concepts"][0]["rows"][-1]["goals"] if g["name"] == "retained answers lost")
    table = lines_of(text, "Targets")
    assert list(table) == ["method", "---", "prompt"]
    assert table["prompt"]["retained answers lost ≤ 0.01"] == f"{goal['value']:.3f} **{goal['state']}**"
    assert table["prompt"]["brought back by 4 bits ≤ 0.05"].endswith("**")


def test_guided_and_random_masks_of_one_size_stand_beside_each_other(found):
    def row(label, score, spread, steps):
        method = label.partition("/")[0]
        measures = {
            accuracy_of(ProbeKind.NEIGHBOUR): {"value": score, "spread": spread},
            TEXT: {"value": 1, "spread": 0},
        }
        cost = {"steps": steps}
        return {
            "label": label,
            "method": method,
            "seeds": 3,
            "measures": measures,
            "depth": [],
            "attacks": [],
            "cost": cost,
        }

    rows = [
        row("npo-guided/8", 0.9, 0.01, [10, 20]),
        row("npo-random/8", 0.7, 0.02, [50, 60]),
        row("npo-random/64", 0.2, 0.02, [50]),
        row("ascent-random/8", 0.1, 0.02, [50]),
    ]
    (pair,) = guidance(rows)
    assert (pair["guided"], pair["random"]) == ("npo-guided/8", "npo-random/8")
    figures = {one["figure"]: one for one in pair["figures"]}
    assert figures[accuracy_of(ProbeKind.NEIGHBOUR)]["better"] == "guided"
    assert figures[TEXT]["better"] == "cannot tell", "level to the last digit"
    assert (figures[STEPS]["guided"], figures[STEPS]["random"], figures[STEPS]["better"]) == (15, 55, "guided")
    one = found["concepts"][0]
    assert one["guidance"] == [], "a prompt has no mask"
    changed = {**found, "concepts": [{**one, "guidance": [pair]}]}
    told = lines_of(made(ABOUT, changed, folder="here")[0], "npo-guided/8 beside")
    assert told["neighbour accuracy"]["difference"] == "+0.200 [+0.158, +0.242]"
    assert told["neighbour accuracy"]["does better"] == "guided"


@pytest.mark.parametrize(
    ("guided", "random", "better"),
    [((3, 1, 4), (2, 1, 4), "cannot tell"), ((9, 1, 4), (2, 1, 4), "random"), ((9, nan, 1), (2, 1, 4), "one training")],
)
def test_the_difference_of_two_means_by_welch(guided, random, better):
    one = compared("steps taken", Runs(*guided), Runs(*random), more=False)
    assert one.better == better
    if better != "one training":
        expected = ttest_ind_from_stats(*guided, *random, equal_var=False)
        assert (one.low > 0) == (expected.pvalue < 0.05)


def test_without_an_oracle_the_page_says_so_wherever_one_is_wanted(found):
    text, _ = made(ABOUT, without_oracle(found), folder="here")
    assert "**No oracle was given**" in text
    assert lines_of(text, "Memory")["prompt"]["direct"].endswith("(no oracle)")
    assert "between forks only: no oracle" in text
    assert "**No oracle was given**" not in made(ABOUT, found, folder="here")[0]


def test_it_says_when_how_and_on_what_it_was_made_and_what_failed(found):
    changed = {**found, "quick": True, "cells": {**found["cells"], "left": 3}, "failed": [{"cell": "c", "error": "e"}]}
    text, _ = made(ABOUT, changed, folder="here")
    assert "Made on 2026-02-03 by `lethe evaluate concepts` on 2 cores" in text
    assert "Its figures are no results" in text
    assert "Unfinished: 3 cells" in text
    assert "**failed**: `c`: e" in text
    assert "Fewer than 4" not in text
    (one,) = found["concepts"]
    few, _ = made(ABOUT, {**found, "concepts": [{**one, "telling": ["direct"]}]}, folder="here")
    assert "Fewer than 4: this concept cannot be judged" in few


def test_attacks_answers_depth_and_cost_have_their_tables(found):
    text, _ = made(ABOUT, found, folder="here")
    attacks = text[text.index("**Attacks**") : text.index("**Depth**")]
    assert re.search(r"\| relearn 5 \| fresh \| [\d.]+ \| [\d.]+.*\(step 2\) \| [\d.]+.*\(step 2\) \|", attacks)
    answers = lines_of(text, "Answers, before and after")
    asked = found["concepts"][0]["answers"]
    assert list(answers)[2:] == [entry["question"] for entry in asked]
    assert set(asked[0]["said"]) == {"base", "oracle", "prompt"}
    cost = lines_of(text, "Gates and cost")["prompt"]
    assert cost["would be registered"] == "0 of 1"
    assert "titles_named 1" in cost["told"]
    assert "prompt" in lines_of(text, "Depth")


def test_layers_are_told_by_the_oracles_beside_which_something_can_be_said(found):
    (one,) = found["concepts"]
    void = {"beside": "a", "score": None, "void": True, "by_layer": [0.0, 0.0]}
    told = [
        {"beside": "b", "score": 0.5, "void": False, "by_layer": [0.25, None]},
        {"beside": "b", "score": 0.7, "void": False, "by_layer": [0.75, None]},
    ]
    rows = [{**row, "depth": {"prompt": [void, *told], "oracle": [void]}.get(row["method"], [])} for row in one["rows"]]
    text, _ = made(ABOUT, {**found, "concepts": [{**one, "rows": rows}]}, folder="here")
    lines = lines_of(text, "Depth")
    assert list(lines["prompt"].values())[-2:] == ["void; 0.500, 0.700", "0.50 -"]
    assert list(lines["oracle"].values())[-2:] == ["void", "void"]


def test_pictures_lie_beside_the_page_and_what_a_person_wrote_stays(found, tmp_path):
    path = tmp_path / "concepts.md"
    write(path, ABOUT, found)
    path.write_text(path.read_text().replace("Nothing has been written here yet.", "Guidance\n\npays."))
    write(path, ABOUT, found)
    assert reading(path.read_text()) == "Guidance\n\npays."
    links = re.findall(r"!\[[^]]*\]\(([^)]+)\)", path.read_text())
    assert {tmp_path / link for link in links} == set((tmp_path / "concepts").iterdir())
    assert len(links) >= 2
    for link in links:
        root = ElementTree.parse(tmp_path / link).getroot()
        assert root.tag.endswith("svg")
        assert root.findall(".//{*}circle")


# Pictures.


def measured(label, accuracy, spread=None):
    """A row of a table with the same accuracy for every kind."""
    cell = {"value": accuracy, "spread": spread}
    return {"method": label, "label": label, "measures": {accuracy_of(kind): cell for kind in ProbeKind}, "attacks": []}


def test_points_lie_at_their_shares_and_axes_without_shares_fit_their_ends():
    chart = Chart("t", "x", "y", [Series("a", [Point(0.5, 1.0), Point(nan, 0.0)]), Series("b", [Point(0.0, 0.0)])])
    circles = [c for c in ElementTree.fromstring(svg(chart)).findall(".//{*}circle") if c.find("{*}title") is not None]
    assert len(circles) == 2
    inside = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM)
    x, y = (float(circles[0].get(name)) for name in ("cx", "cy"))
    assert x == pytest.approx(LEFT + inside[0] / 2, abs=0.1)
    assert y == pytest.approx(TOP + inside[1] * 0.02 / 1.04, abs=0.1)
    curve = Chart("t", "steps", "y", [Series("c", [Point(0, 0.1), Point(100, 0.9)], joined=True)], (False, True))
    line = ElementTree.fromstring(svg(curve)).find(".//{*}polyline").get("points").split()
    assert [float(point.split(",")[0]) for point in line] == pytest.approx(
        [LEFT + inside[0] * part for part in (4 / 108, 104 / 108)], abs=0.1
    )
    assert Chart("t", "x", "y", [Series("a", [Point(nan, 1.0)])]).empty


def test_more_series_than_colours_are_told_apart_by_dashes():
    curves = [Series(f"s{n}", [Point(0, 0.1), Point(9, n / 10)], joined=True) for n in range(9)]
    lines = ElementTree.fromstring(svg(Chart("t", "steps", "y", curves, (False, True)))).findall(".//{*}polyline")
    assert len({(line.get("stroke"), line.get("stroke-dasharray")) for line in lines}) == 9


def test_a_long_name_widens_the_picture_and_a_spread_beyond_a_share_ends_with_its_axis():
    long = "resisted_ascent-guided/512, continued"
    pictures = [
        ElementTree.fromstring(svg(Chart("t", "steps", "y", [Series(name, [Point(0, 0.9, dy=0.5)])], (False, True))))
        for name in ("short", long)
    ]
    wide = [float(picture.get("width")) for picture in pictures]
    assert wide[0] == WIDTH
    name = next(text for text in pictures[1].findall("{*}text") if text.text == long)
    assert wide[1] >= float(name.get("x")) + 6 * len(long)
    assert [pictures[1].get("viewBox").split()[2], pictures[1].find("{*}rect").get("width")] == [f"{wide[1]:.0f}"] * 2
    (bar,) = [line for line in pictures[0].findall(".//{*}line") if line.get("stroke") != "#ddd"]
    below = TOP + (HEIGHT - TOP - BOTTOM) * (1.02 - 0.4) / 1.04
    assert sorted(float(bar.get(end)) for end in ("y1", "y2")) == pytest.approx([TOP, below], abs=0.1)


def test_the_trade_off_has_a_point_for_every_method_in_its_family():
    one = {"name": "X", "rows": [measured("base", 1.0), measured("npo-random", 0.25, 0.1), measured("ssd", 0.5)]}
    chart = tradeoff(one)
    assert [(series.name, [(p.x, p.y, p.label) for p in series.points]) for series in chart.series] == [
        ("base", [(1.0, 1.0, "base")]),
        ("masked LoRA, other masks", [(0.25, 0.25, "npo-random")]),
        ("no training", [(0.5, 0.5, "ssd")]),
    ]
    assert chart.series[1].points[0].dx == pytest.approx(0.1 / 5**0.5), "five kinds of the same spread"
    names = ("refusal-guided", "rmu-none", "ablation-random", "prompt", "oracle")
    assert [family(name).split(",")[-1].strip() for name in names] == [
        "guided", "other masks", "no training", "prompt", "oracle"
    ]  # fmt: skip


def test_masks_of_one_size_stand_beside_each_other_and_no_other_methods():
    rows = [measured(name, 0.5, 0.2) for name in ("base", "refusal-guided", "refusal-random", "npo-guided", "ablation")]
    picture = masks_compared({"name": "X", "rows": rows})
    assert [label for label, _ in picture.lines] == ["refusal-guided", "refusal-random"]
    near = {dot.series: dot for dot in picture.lines[0][1]}["neighbours"]
    assert (near.low, near.value, near.high) == pytest.approx((0.3, 0.5, 0.7))
    assert mean_of({"measures": {}}, (ProbeKind.DIRECT,)) != mean_of({"measures": {}}, (ProbeKind.DIRECT,)), "NaN"


def test_relearning_has_one_chart_an_attack_with_curves_in_the_order_of_steps():
    def at(step, value, setting="fresh", attack="relearn half"):
        return {"attack": attack, "setting": setting, "step": step, "measure": "known", "value": value, "spread": None}

    row = {
        **measured("npo-guided", 0.0),
        "attacks": [at(5, 0.4), at(0, 0.1), at(0, 0.2, "continued"), at(0, 0, "", "b")],
    }
    plain_attack = {**at(None, 0.9), "attack": "format"}
    charts = relearning({"name": "X", "rows": [{**row, "attacks": [*row["attacks"], plain_attack]}]})
    assert [chart.title for chart in charts] == ["X: relearn half", "X: b"]
    assert [(s.name, [(p.x, p.y) for p in s.points]) for s in charts[0].series] == [
        ("npo-guided", [(0, 0.1), (5, 0.4)]),
        ("npo-guided, continued", [(0, 0.2)]),
    ]


# Targets and attacks by hand.


def known(attack, setting, step, value):
    return {"attack": attack, "setting": setting, "step": step, "measure": "known", "value": value, "spread": None}


def test_what_an_attack_brings_back_is_a_share_of_what_had_gone():
    base_row = {
        "method": "base",
        "attacks": [known("format", "plain", None, 1.0), known("relearn half", "fresh", 0, 0.8)],
    }
    mine = {
        "method": "m",
        "attacks": [
            known("format", "plain", None, 0.2),
            known("quantised", "4 bits, merged", None, 0.6),
            known("relearn half", "fresh", 0, 0.4),
            known("relearn half", "fresh", 50, 0.6),
            known("relearn half", "continued", 0, 0.0),
            known("relearn half", "continued", 50, 0.8),
            known("history", "choice by title", None, 0.9),
        ],
    }
    told = attacked.with_comebacks([base_row, mine])[1]["attacks"]
    assert [one["back"] for one in told] == [0.0, 0.5, 0.0, 0.5, 0.0, 1.0, None]
    nothing_gone = attacked.with_comebacks(
        [base_row, {"method": "n", "attacks": [known("format", "plain", None, 1.0)]}]
    )
    assert nothing_gone[1]["attacks"][0]["back"] is None


def goal_row(**changes):
    """A row within every bound."""

    def cell(base, value, *, tells=True):
        return {"base": base, "value": value, "tells": tells}

    measures = {
        accuracy_of(ProbeKind.DIRECT): cell(0.9, 0.05),
        accuracy_of(ProbeKind.REVERSED): cell(0.5, 0.5, tells=False),
        accuracy_of(ProbeKind.RETAIN): cell(0.9, 0.895),
        accuracy_of(ProbeKind.NEIGHBOUR): cell(0.9, 0.89),
        RANKING: cell(0.8, 0.79),
        TEXT: cell(1.0, 1.04),
    }
    attacks = [{**known("quantised", f"4 bits, {how}", None, 0.1), "back": 0.01} for how in ("merged", "beside")] + [
        {**known("relearn half", "fresh", 50, 0.1), "back": 0.3}
    ]
    depth = [{"score": 0.9}, {"score": 0.8}]
    return {"measures": measures, "attacks": attacks, "depth": depth, "ranking": None, **changes}


def oracles(*ends, attacks=(), depth=()):
    """The row of the oracles, whose means of direct questions and of choices have these ends."""
    names = (accuracy_of(ProbeKind.DIRECT), accuracy_of(ProbeKind.REVERSED), preference_of(TITLE_FORM))
    return {"measures": {name: {"ends": ends} for name in names}, "attacks": list(attacks), "depth": list(depth)}


def states(row, oracle, **unmet):
    chosen = {preference_of(form): share for form, share in unmet.items()}
    return {goal["name"]: (goal["state"], goal["value"]) for goal in goals.of_row(row, oracle, chosen)}


def test_targets_are_within_their_bounds_or_over_them():
    told = states(goal_row(), oracles(0.03, 0.03))
    assert told["memory, from the oracle"] == ("ok", pytest.approx(0.02)), "what cannot tell does not count"
    assert told["forced choice, from the oracle"][0] == "not measured"
    assert told["retained answers lost"] == ("ok", pytest.approx(0.005))
    assert told["ranking of others lost"] == ("ok", pytest.approx(0.0125))
    assert told["perplexity ratio - 1"] == ("ok", pytest.approx(2.718281828**0.04 - 1))
    assert told["1 - depth"] == ("ok", pytest.approx(0.15))
    assert told["brought back by 4 bits"] == ("ok", 0.01)
    assert told["brought back by relearn half, 50 steps"] == ("ok", 0.3)
    row = goal_row()
    row["measures"][accuracy_of(ProbeKind.RETAIN)]["value"] = 0.8
    row["measures"][accuracy_of(ProbeKind.DIRECT)]["tells"] = False
    row["attacks"][-1]["back"] = 0.7
    told = states({**row, "depth": [{"score": None}]}, oracles(0.03, 0.03))
    assert told["retained answers lost"][0] == "over"
    assert told["memory, from the oracle"][0] == told["1 - depth"][0] == "cannot tell"
    assert told["brought back by relearn half, 50 steps"][0] == "over"
    oracle = oracles(0.03, 0.03, attacks=[{**known("relearn half", "fresh", 50, 0.8), "back": 0.75}])
    assert states(row, oracle)["brought back by relearn half, 50 steps"][0] == "ok", "as little as the oracle shows"


def test_of_several_oracles_the_distance_from_their_span_counts_and_how_deep_one_is_beside_another():
    row = goal_row()
    row["measures"][preference_of(TITLE_FORM)] = {"base": 0.5, "value": 0.45, "tells": True}
    within = states(row, oracles(0.0, 0.06, depth=[{"score": 0.7}, {"score": None}]))
    assert within["memory, from the oracle"] == ("ok", 0)
    assert within["forced choice, from the oracle"] == ("over", pytest.approx(0.39))
    assert states(row, oracles(0.4, 0.9))["forced choice, from the oracle"] == ("ok", 0)
    assert states(row, oracles(0.46, 0.9))["forced choice, from the oracle"] == ("ok", pytest.approx(0.01))
    unknown = "forced choice, from titles that do not exist"
    assert within[unknown][0] == "not measured"
    assert states(row, oracles(0.4, 0.9), title=0.43, genres=0.9)[unknown] == ("ok", pytest.approx(0.02))
    assert states(row, oracles(0.4, 0.9), title=0.5)[unknown] == ("over", pytest.approx(0.05))
    row["depth"] = [{"score": 0.75}, {"score": None}]
    assert states(row, oracles(0.0, 0.0))["1 - depth"] == ("over", pytest.approx(0.25)), "void beside one of them"
    assert states(row, oracles(0.0, 0.0, depth=[{"score": 0.7}, {"score": 0.9}]))["1 - depth"][0] == "ok"
    assert states(row, oracles(0.0, 0.0, depth=[{"score": 0.78}]))["1 - depth"][0] == "over"


def test_lists_of_real_people_are_targets_where_they_were_ordered():
    ranking = {"NDCG@10, fused": {"ratio": 0.97}, "NDCG@10, the model alone": {"ratio": 0.99}}
    told = states(goal_row(ranking=ranking), None)
    assert told["NDCG@10, fused, real people, lost"] == ("over", pytest.approx(0.03))
    assert told["NDCG@10, the model alone, real people, lost"][0] == "ok"
    assert told["memory, from the oracle"][0] == "no oracle"
