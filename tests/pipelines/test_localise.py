"""Where words matter: planted overlap, drift and clusters are found, and nothing where nothing differs."""

import json
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from db.errors import LetheError
from llm.prompt import SERVED
from pipelines.cli.output import plain
from pipelines.drift.paraphrases import PARAPHRASES
from pipelines.drift.requests import Asking
from pipelines.evaluate.page import About
from pipelines.localise.answers import answers
from pipelines.localise.asked import SERVED_NAME, WORDINGS, Asked
from pipelines.localise.concepts import prompts
from pipelines.localise.maps import clusters
from pipelines.localise.overlaps import classes_apart, correlation, spearman
from pipelines.localise.page import made as page_of
from pipelines.localise.run import Wish, plan, run
from pipelines.localise.spec import Part
from pipelines.localise.summary import frame, read, summarise
from tests.pipelines.drifting import lab_of, requests
from tests.unlearning.concept.world import catalogue

TWO = {SERVED_NAME: SERVED, "terse": PARAPHRASES["terse"]}
SAME = {SERVED_NAME: SERVED, "again": SERVED}
FEW = Asking(people=4, requests=2, candidates=5)


def looked_into(folder, wordings, **wish):
    """What a whole run found, as JSON, with the parts that are kept."""
    lab, wanted = lab_of(folder, FEW), Wish(neurons=8, wordings=wordings, **wish)
    outcome = run(lab, wanted)
    assert outcome.done.failed == ()
    kept = read(lab, outcome)
    return json.loads(json.dumps(plain(summarise(lab, wanted, outcome, kept)))), kept


def test_the_same_words_twice_overlap_wholly_and_change_nothing(tmp_path):
    found, kept = looked_into(tmp_path, SAME)
    (model,) = found["models"]
    for row in model["overlap"]:
        assert row["overlap"]["low"] == pytest.approx(1, abs=1e-4)
        assert row["cka"] == pytest.approx(1, abs=1e-5)
        assert row["wording_share"] == pytest.approx(0, abs=1e-6)
        assert row["correlation"] is None, "what does not drift follows nothing"
    assert model["shared"]["wordings"]["jaccard"] == 1
    assert model["shared"]["wordings"]["shared"] == [0, 8]
    assert frame(kept, Part.MAPS)["sensitivity"].max() == pytest.approx(0, abs=1e-9)


def test_other_words_move_neurons_and_maps_are_told_by_layer(tmp_path):
    found, kept = looked_into(tmp_path, TWO)
    (model,) = found["models"]
    for row in model["overlap"]:
        assert row["overlap"]["mean"] < 0.999
        assert 0 < row["wording_share"] < 1
    for name in ("saliency", "fisher", "gradient", "sensitivity"):
        assert sum(row[f"{name}_share"] for row in model["maps"]) == pytest.approx(1)
    rows = frame(kept, Part.MAPS)
    neurons = rows.filter(pl.col("kind") == "neuron")
    assert neurons.height == 2 * 48
    assert rows.filter(pl.col("kind") == "head").height == 2 * 4
    for row in model["maps"]:
        assert row["rank_agreement"]["low"] <= row["rank_agreement"]["high"] <= 1
    own = neurons.filter(pl.col("layer") == 1)
    share = own["saliency"].sum() / neurons["saliency"].sum()
    assert model["maps"][1]["saliency_share"] == pytest.approx(share)
    assert model["heads"][0]["sensitivity"] == pytest.approx(rows.filter(pl.col("kind") == "head")["sensitivity"].max())
    overlaps = frame(kept, Part.OVERLAP)
    mean = overlaps.filter(pl.col("layer") == 0)["overlap"].mean()
    assert model["overlap"][0]["overlap"]["mean"] == pytest.approx(mean)


def test_the_same_run_again_measures_nothing_and_a_page_tells_it(tmp_path):
    about_one = prompts(["Red River 28"], catalogue(), seed=0)
    first, kept = looked_into(tmp_path, TWO, concepts=about_one)
    again, _ = looked_into(tmp_path, TWO, concepts=about_one)
    assert first["cells"] == {"finished": 3, "measured_now": 3, "left": 0}
    assert again["cells"] == {"finished": 3, "measured_now": 0, "left": 0}
    assert again["models"] == first["models"]
    (direction,) = first["models"][0]["directions"]
    assert direction["concept"] == "Red River 28"
    assert all(0 < row["forget_retain"] < 180 for row in direction["layers"])
    machine = {"cores": 2, "processor": "x86_64", "python": "3.11"}
    about = About(datetime(2026, 1, 2, tzinfo=UTC), "lethe localise", machine, "Where words matter")
    text, pictures = page_of(about, first, folder="localise", written="Late layers.")
    assert "Late layers." in text
    assert all(answer in text for _, answer in answers(first["models"][0]))
    tau = frame(kept, Part.OVERLAP).filter(pl.col("layer") == 0)["tau"].mean()
    assert first["models"][0]["tau"]["mean"] == pytest.approx(tau)
    assert "**Red River 28**: angles" in text
    assert set(pictures) <= {"overlap", "correlation"}
    assert "overlap" in pictures


def span(mean, low, high):
    return {"mean": mean, "low": low, "high": high}


def layer(number, correlation=None, apart=None, wording=0.1):
    classes = None if apart is None else {"apart": apart}
    return {"layer": number, "correlation": correlation, "classes": classes, "wording_share": wording}


EMPTY = {"tau": None, "overlap": [], "maps": [], "heads": [], "shared": {}, "directions": []}
SHARED = {"count": 8, "chance": 0.05}


def test_the_five_questions_are_answered_from_the_figures_and_from_nothing_else():
    said = [answer for _, answer in answers(EMPTY)]
    assert len(said) == 5
    assert all(answer.startswith("Not measured") for answer in said)

    maps = [
        {"layer": n, "sensitivity_share": share, "rank_agreement": span(rank, 0, 1)}
        for n, (share, rank) in enumerate([(0.2, 0.9), (0.8, 0.3)])
    ]
    lists = [
        layer(0, span(-0.3, -0.5, -0.1), span(0.2, 0.1, 0.3)),
        layer(1, span(0.1, -0.1, 0.3), span(0.0, -0.1, 0.1), wording=0.4),
    ]
    directions = [
        {"concept": name, "layers": [{"layer": 3, "forget_retain": angle, "deviation": 5.0, "same": 40.0}]}
        for name, angle in (("near", 70.0), ("apart", 85.0))
    ]
    shared = {"wordings": {**SHARED, "jaccard": 0.6}, "classes": {**SHARED, "jaccard": 0.4}}
    full = {"overlap": lists, "maps": maps, "heads": [{"layer": 1, "place": 7}], "shared": shared}
    said = [answer for _, answer in answers({"tau": span(0.7, 0.6, 0.8), "directions": directions, **full})]
    assert said[0].startswith("Unstable: ")
    assert said[1].startswith("Layer 1 holds 0.800")
    assert "head" in said[1]
    assert "do not find the same neurons" in said[1]
    assert said[2].startswith("Lists drift more where neurons overlap less in layer 0;")
    assert said[2].endswith("neurons tell classes apart in layer 0.")
    assert "Forgetting near works against keeping its controls in layer 3 (70.0" in said[3]
    assert "Forgetting apart and keeping its controls do not surely" in said[3]
    assert said[4].startswith("The same neurons decide in every wording")
    assert "0.400 of the variance, in layer 1" in said[4]
    other = {**shared, "wordings": {**SHARED, "jaccard": 0.2}}
    steady = {**EMPTY, **full, "overlap": [layer(0)], "shared": other, "tau": span(0.95, 0.92, 0.97)}
    said = [answer for _, answer in answers(steady)]
    assert said[0].startswith("Steady: ")
    assert said[2].startswith("In no layer does drift follow overlap")
    assert said[4].startswith("Wordings decide through neurons that are partly their own")


def test_parts_differ_by_what_determines_them(tmp_path):
    lab = lab_of(tmp_path, FEW)
    wishes = (Wish(), Wish(seed=1), Wish(neurons=8), Wish(wordings=TWO))
    names = [{spec.name for spec in plan(lab, wish)} for wish in wishes]
    assert len(set.union(*names)) == sum(map(len, names))
    assert next(iter(WORDINGS)) == SERVED_NAME
    with pytest.raises(LetheError, match="0 neurons"):
        Wish(neurons=0)


def test_a_concept_that_is_nothing_is_refused():
    with pytest.raises(LetheError, match="no item, title, genre or franchise"):
        prompts(["Casablanca"], catalogue(), seed=0)


def test_drift_that_follows_overlap_is_found_and_chance_is_not():
    rng = np.random.default_rng(0)
    people, wordings = 20, 6
    tau = rng.uniform(-1, 1, size=people * wordings)
    keys = {"person": np.repeat(np.arange(people), wordings), "wording": [str(n % wordings) for n in range(len(tau))]}
    planted = correlation(pl.DataFrame({**keys, "tau": tau, "overlap": tau**3}), people, seed=0)
    assert planted["mean"] == pytest.approx(-1)
    assert planted["high"] == pytest.approx(-1)
    chance = correlation(pl.DataFrame({**keys, "tau": tau, "overlap": rng.normal(size=len(tau))}), people, seed=0)
    assert chance["low"] < 0 < chance["high"]
    assert correlation(pl.DataFrame({**keys, "tau": np.ones(len(tau)), "overlap": tau}), people, seed=0) is None
    a, b = rng.integers(0, 5, size=(2, 50)).astype(float)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)


def test_classes_that_neurons_tell_apart_are_told_apart():
    asked = Asked(requests(FEW))
    names = np.unique(asked.classes)
    planted = (asked.classes[:, None] == names[None, :]).astype(np.float32)
    found = classes_apart(planted, asked, seed=0)
    assert found["same"]["mean"] == pytest.approx(1, abs=1e-4)
    assert found["apart"]["low"] > 0.5
    noise = np.random.default_rng(0).normal(size=(len(asked.classes), 200)).astype(np.float32)
    assert abs(classes_apart(noise, asked, seed=0)["apart"]["mean"]) < 0.1


def test_clusters_by_hand():
    maps = {"a": np.array([[9.0, 8.0, 1.0], [0.0, 7.0, 0.0]]), "b": np.array([[9.0, 0.0, 8.0], [0.0, 7.0, 0.0]])}
    found = clusters(maps, 3)
    assert found["jaccard"] == pytest.approx(2 / 4)
    assert found["chance"] == pytest.approx(0.5 / 1.5)
    assert found["shared"] == [2, 2]  # two neurons in one map alone, two in both
    assert found["core"] == [1, 1]


def test_lethe_tiny_is_localised_from_the_command_line(lethe, tmp_path):
    words = ("localise", "--users", 2, "--candidates", 3, "--out", tmp_path / "out")
    found = lethe.read(*words, "--concept", "Film number 7")
    (model,) = found["models"]
    assert [len(model[name]) for name in ("overlap", "maps", "directions")] == [4, 4, 1]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"localise.md", "localise.json", "localise-maps.parquet", "localise-overlap.parquet"}
    assert json.loads((tmp_path / "out" / "localise.json").read_text())["models"] == found["models"]
    refused = lethe(*words, "--concept", "Casablanca")
    assert refused.status == 1
    assert "no item, title, genre or franchise is called 'Casablanca'" in refused.err
