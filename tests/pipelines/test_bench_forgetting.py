"""`python -m benchmarks.forgetting` on a folder of its own kind: its split, its page, and what is left undone."""

import argparse
import json
import sys

import numpy as np
import pytest

from benchmarks import forgetting
from benchmarks.datasets import published
from db.errors import LetheError
from db.records import Split
from pipelines.evaluate.page import Part


def a_folder(place, people=60, items=40):
    """Two camps of people, twelve items each, the last three held out."""
    place.mkdir()
    lines = {"train.txt": [], "test.txt": []}
    for person in range(people):
        half = np.arange(items)[person % 2 :: 2]
        mine = np.random.default_rng(person).choice(half, size=12, replace=False).tolist()
        lines["train.txt"].append(f"{person} " + " ".join(map(str, mine[:9])))
        lines["test.txt"].append(f"{person} " + " ".join(map(str, mine[9:])))
    for name, told in lines.items():
        (place / name).write_text("\n".join(told) + "\n")
    return place


def started(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["forgetting", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        forgetting.main()
    return ended.value.code


def test_the_published_split_is_kept_row_by_row(tmp_path):
    log = published(a_folder(tmp_path / "data"))
    assert len(log.only(Split.TRAIN)) == 60 * 9
    assert len(log.only(Split.TEST)) == 60 * 3
    assert len(log.only(Split.VALID)) == 0
    line = (tmp_path / "data" / "test.txt").read_text().splitlines()[17].split()
    held = log.only(Split.TEST)
    assert {held.items[i] for i in held.item[held.user == log.users.index("17")]} == set(line[1:])


def test_a_pair_that_is_in_both_files_is_refused(tmp_path):
    place = a_folder(tmp_path / "data")
    (place / "test.txt").write_text((place / "train.txt").read_text())
    with pytest.raises(LetheError, match=r"data: a pair of train\.txt stands in test\.txt too"):
        published(place)


def test_a_folder_alone_is_measured_resumed_and_told_on_the_page(tmp_path, monkeypatch):
    place, out = a_folder(tmp_path / "toys"), tmp_path / "out"
    words = ("--only-data", "--data", place, "--backbone", "ease", "--method", "shield", "--quick", "--out", out)
    assert started(monkeypatch, *words, "--minutes", "0.000001") == 75
    assert "Unfinished" in (out / "forgetting.md").read_text()
    assert started(monkeypatch, *words, "--page", tmp_path / "page.md") == 0
    text = (tmp_path / "page.md").read_text()
    for told in ("## toys", "### ease, users-5", "none (no forgetting)", "Not run: no data here", "Split `published`"):
        assert told in text
    (summary,) = (out / "quick").glob("summary-*.json")
    assert json.loads(summary.read_text())["cells"]["left"] == 0


def test_filters_are_told_beside_random_with_what_the_interval_says():
    figures = {"people": 9, "random": 0.2, "recent": [0.3, 0.1, 0.05, 0.15], "attention": [0.2, 0.0, -0.1, 0.1]}
    section = forgetting.filter_section({"L=10": {**figures, "none": [0.1, -0.1, -0.2, -0.05]}})
    assert "| L=10 | 9 | recent | 0.3000 | 0.2000 | +0.1000 [+0.0500, +0.1500] | yes |" in section.text
    assert "| attention | 0.2000 | 0.2000 | +0.0000 [-0.1000, +0.1000] | cannot tell |" in section.text
    assert section.text.count("| worse |") == 1
    assert [label for label, _ in section.pictures["filters"].lines] == [
        "L=10 recent",
        "L=10 attention",
        "L=10 all rows",
    ]
    assert forgetting.filter_section(None).text == "Not measured yet."


def test_the_papers_ratios_stand_beside_ours():
    rows = [
        {"method": method, "utility": {"metrics": {"hit_rate@10": {"mean": 0.8}, "ndcg@10": {"mean": mean}}}}
        for method, mean in (("oracle", 0.4), ("shield", 0.3))
    ]
    found = {"tables": [{"backbone": "bpr", "protocol": "interactions-10", "rows": rows}]}
    text = forgetting.paper_section([Part("ml-100k", found)]).text
    assert (
        "| ml-100k | bpr | 0.7845 / 0.2910 | 0.7116 / 0.2801 | 0.96 | 0.8000 / 0.4000 | 0.8000 / 0.3000 | 0.75 |"
        in text
    )
    assert text.count("| not measured | not measured | not measured |") == 3


def asked(**more):
    known = {"quick": False, "method": None, "seeds": 3, "oracles": 5, "no_membership": False, "only_membership": False}
    return argparse.Namespace(**{**known, **more})


def test_the_plan_holds_every_protocol_and_its_first_grid_can_be_read_by_itself():
    planned = forgetting.grids(asked(), forgetting.BACKBONES)
    under = {(name, under) for one in planned for name in one.backbones for under in one.protocols}
    for backbone in forgetting.BACKBONES:
        for name in ("interactions-10", "users-1", "users-5", "sequence-1", "sequence-10"):
            assert (backbone, name) in under
    assert ("ease", "sequence-100") in under
    assert ("bpr", "sequence-100") in under
    assert (planned[0].backbones, planned[0].seeds, planned[0].oracles) == (forgetting.BACKBONES, 1, 3)
    assert max(one.seeds for one in planned if one.protocols == forgetting.PROTOCOLS) == 3
    assert max(one.oracles for one in planned) == 5
    attacks = [(one.inquiry.kind, *one.backbones) for one in planned if one.protocols == ()]
    kinds = {"planted": ("ease", "bpr", "lightgcn"), "people": ("ease", "bpr")}
    assert attacks == [(kind, name) for kind, names in kinds.items() for name in names]
    places = [place for place, one in enumerate(planned) if one.protocols == ()]
    before, after = planned[: places[0]], planned[places[-1] + 1 :]
    assert {one.seeds for one in before} == {1}
    assert max(one.oracles for one in before) == 5
    assert any(one.seeds == 3 for one in after)


def test_a_method_that_is_not_asked_for_is_in_no_part_of_the_plan():
    planned = forgetting.grids(asked(method=["shield"]), ("bpr",))
    assert {one.methods for one in planned} == {("shield",)}
    alone = forgetting.grids(asked(only_membership=True), ("lightgcn",))
    assert [(one.protocols, one.inquiry.kind) for one in alone] == [((), "planted")]
    assert all(one.protocols for one in forgetting.grids(asked(no_membership=True), ("bpr",)))
