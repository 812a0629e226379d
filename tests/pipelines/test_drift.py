"""Drift under other words: planted drift is found, none is made up, and what is kept is not measured again."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from db.errors import LetheError
from db.log import SPLITS
from db.records import Split
from llm.fusion import fuse
from llm.prompt import JSON_ONLY, NO, SERVED, UNKNOWN_TITLE, YES, Wording, generate, reason
from llm.tiny import questions, requests
from llm.tiny.corpus import Corpus
from llm.tiny.items import read_items
from pipelines import models
from pipelines.cli.output import plain
from pipelines.drift import cells
from pipelines.drift import measure as measuring
from pipelines.drift.disturb import ASIDES, SENTENCES, SPARED, SYNONYMS, disturbed, synonyms, typos, word_order
from pipelines.drift.figures import agreement, by_person, fused, intervals, share
from pipelines.drift.instances import PERTURBED, Kind, instances
from pipelines.drift.page import made as page_of
from pipelines.drift.paraphrases import PARAPHRASES
from pipelines.drift.requests import Asking, drawn
from pipelines.drift.run import Wish, plan, run
from pipelines.drift.spec import FREE
from pipelines.drift.summary import frame, read, summarise
from pipelines.evaluate.guard import Guard, LeakError
from pipelines.evaluate.page import About
from pipelines.evaluate.split import with_split
from recsys.metrics import rbo
from tests.llm.toys import context, toy_model
from tests.pipelines import drifting
from tests.pipelines.drifting import ASKING, Acting, Counting, Forgetful, Ignoring, Mute, Planted, Positional, lab_of
from unlearning.concept.spoken import Spoken, speak
from unlearning.concept.wordings import every_wording

ORDERS = (Kind.PARAPHRASE, Kind.ORDER, Kind.BOTH)
FIELDS = ("judge", "best", "order", "free", "liked")


WORDS_GIVEN = tuple(kind for kind in Kind if kind is not Kind.REASON)
"""All but the one for which a model needs words of its own: the toys have none."""


def measured(folder, *names, draws=2, kinds=WORDS_GIVEN, asking=ASKING, **make):
    """What a run found, as JSON, with its rows, lab and wish."""
    wish = Wish(names or ("packed",), kinds, draws=draws)
    lab = lab_of(folder, asking, **make)
    outcome = run(lab, wish)
    assert outcome.done.failed == ()
    rows = read(lab, wish, outcome)
    found = json.loads(json.dumps(plain(summarise(lab, wish, outcome, rows))))
    return found, rows, lab, wish


def by_kind(found, scorer=0, model=0):
    return {row["kind"]: row for row in found["tables"][scorer]["models"][model]["rows"]}


# What is done to a request.


def test_paraphrases_are_at_least_eight_and_ask_for_the_same_form_of_answer():
    assert len(PARAPHRASES) >= 8
    for one in PARAPHRASES.values():
        assert all(getattr(one, field) != getattr(SERVED, field) for field in FIELDS)
        assert YES in one.judge
        assert NO in one.judge
        assert "letter" in one.best.lower()
        assert one.order.endswith(JSON_ONLY)
    for field in FIELDS:
        assert len({getattr(one, field) for one in PARAPHRASES.values()}) == len(PARAPHRASES)


def test_no_paraphrase_aside_or_talk_is_in_the_corpus_of_lethe_tiny():
    folder = Path(find_spec("recbole").origin).parent / "dataset_example" / "ml-100k"
    sentences = {getattr(one, field) for one in PARAPHRASES.values() for field in FIELDS}
    lessons = iter(Corpus(read_items(folder / "ml-100k.item"), 0, judging_first=2))
    read_text = "\n".join(example.text for _ in range(60) for example in next(lessons))
    assert SERVED.judge in read_text
    assert SERVED.best in read_text
    assert SERVED.order in read_text, "the lessons that were read hold every kind of request"
    assert not [one for one in (*sentences, *ASIDES) if one in read_text]
    forms = [form for form in vars(questions).values() if isinstance(form, questions.Forms)]
    known = {wording for form in forms for wording in (*form.seen, *form.held_out)} | every_wording()
    assert not sentences & known
    drawn = {text.casefold() for text in requests.sentences()}
    names = ("liked", "profile", "note", "judge", "candidate", "candidates", "best", "order")
    words = [getattr(one, name) for one in PARAPHRASES.values() for name in names]
    assert not [text for text in words if text.casefold().removesuffix(f" {JSON_ONLY}") in drawn]


def test_disturbed_sentences_differ_spare_the_form_of_the_answer_and_follow_the_seed():
    for how in (typos, synonyms, word_order):
        one, same, other = (disturbed(how, np.random.default_rng(seed)) for seed in (0, 0, 1))
        assert one == same
        assert one != other
        assert one.judge != SERVED.judge
        assert {YES, NO} <= set(one.judge.rstrip(".").split())
        assert '{"ranking":[2,3,1]}' in one.order
    assert set(SENTENCES) == {*FIELDS, "profile", "note", "candidate", "candidates"}


def test_typos_synonyms_and_word_order_by_hand():
    rng = np.random.default_rng(0)
    slipped = {typos("films", rng, share=1.0) for _ in range(200)}
    assert slipped == {
        "flms", "fims", "fils", "fiilms", "fillms", "filmms", "flims", "fimls", "filsm"
    }  # fmt: skip
    assert {synonyms("Person", rng) for _ in range(50)} == {one.capitalize() for one in SYNONYMS["person"]}
    assert word_order("alpha beta!", rng) == "beta alpha!"
    assert word_order("Candidate:", rng) == "Candidate:"
    assert typos("yes or no", rng) == synonyms("yes or no", rng) == "yes or no"
    assert not SPARED & SYNONYMS.keys()


@pytest.mark.parametrize("kind", list(Kind))
def test_instances_have_names_of_their_own_and_are_the_same_for_the_same_seed(kind):
    made = instances(kind, draws=3, seed=4)
    assert len({one.name for one in made}) == len(made) >= 1
    assert made == instances(kind, draws=3, seed=4)
    worded = [one for one in made if not one.again]
    assert all((one.wording != SERVED) == (kind not in (Kind.SERVED, Kind.ORDER, Kind.REASON)) for one in worded)
    assert len(made) - len(worded) == (kind is Kind.TURNS)
    assert all(one.reasons == (kind is Kind.REASON) for one in made)
    assert all((one.shuffle is not None) == (kind in (Kind.ORDER, Kind.BOTH)) for one in made)


def test_one_part_paraphrased_changes_that_part_alone():
    for one in instances(Kind.PART, draws=9, seed=0):
        part = one.name.split(":")[0]
        changed = {name for name in SENTENCES if getattr(one.wording, name) != getattr(SERVED, name)}
        allowed = {"history": {"liked"}, "labels": {"candidate", "candidates"}, "question": set(FIELDS) - {"liked"}}
        assert changed
        assert changed <= allowed.get(part, {part})


def test_orders_are_drawn_for_each_request():
    (one, other) = instances(Kind.ORDER, draws=2, seed=0)
    orders = [made.order(*key, 20).tolist() for made in (one, other) for key in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(order) for order in orders}) == 6
    assert all(sorted(order) == list(range(20)) for order in orders)


# Who is asked about.


def test_requests_hold_training_rows_alone_and_full_lists_without_what_was_met():
    data = drifting.data()
    how = Asking(people=6, requests=3, candidates=5)
    made = drawn(data, how, Guard(data))
    assert [(one.person, one.number) for one in made] == [(p, n) for p in range(6) for n in range(3)]
    train = data.log.only(Split.TRAIN)
    met = {(str(u), data.log.items[i]) for u, i in zip(train.user.tolist(), train.item.tolist(), strict=True)}
    for one in made:
        assert {(one.context.user, item.id) for item in one.context.history} <= met
        assert not {(one.context.user, item.id) for item in one.context.candidates} & met
        assert len(one.context.candidates) == 5
    offered = [item.id for one in made[:3] for item in one.context.candidates]
    assert len(set(offered)) == 15, "a person's lists share nothing"
    assert made == drawn(data, how, Guard(data))
    assert made != drawn(data, Asking(people=6, requests=3, candidates=5, seed=1), Guard(data))


def test_a_held_out_row_in_a_history_is_refused():
    data = drifting.data()
    train, test = SPLITS.index(Split.TRAIN), SPLITS.index(Split.TEST)
    codes = np.where(data.log.split == train, test, train).astype(np.uint8)
    other = with_split(replace(data.log, split=codes), "toy", {"name": "random"}, epoch=1, items=data.items)
    with pytest.raises(LeakError):
        drawn(data, Asking(people=3, requests=1, candidates=5), Guard(other))


def test_unseen_titles_are_in_no_catalogue_and_the_facts_stay():
    data = drifting.data()
    how = Asking(people=3, requests=1, candidates=5)
    plain_, unseen = (drawn(data, one, Guard(data)) for one in (how, Asking(3, 1, 5, unseen=True)))
    titles = {item.title for item in data.items}
    for one, other in zip(plain_, unseen, strict=True):
        assert [item.id for item in one.context.candidates] == [item.id for item in other.context.candidates]
        assert [item.year for item in one.context.history] == [item.year for item in other.context.history]
        assert not titles & {item.title for item in (*other.context.history, *other.context.candidates)}


def test_more_people_or_candidates_than_there_are_are_refused():
    data = drifting.data()
    with pytest.raises(LetheError, match="give --users 40"):
        drawn(data, Asking(people=41), Guard(data))
    with pytest.raises(LetheError, match="fewer --requests or --candidates"):
        drawn(data, Asking(people=2, requests=3, candidates=20), Guard(data))
    with pytest.raises(LetheError, match="2 candidates at least"):
        Asking(candidates=1)


# What is found.


def test_a_scorer_that_ignores_its_words_does_not_drift(tmp_path):
    found, *_ = measured(tmp_path, packed=Ignoring)
    (table,) = found["tables"]
    (model,) = table["models"]
    assert {row["kind"] for row in model["rows"]} == {kind.value for kind in PERTURBED if kind in WORDS_GIVEN}
    for row in (*model["rows"], *model["instances"]):
        for measure in ("tau", "rbo", "first"):
            assert row[measure] == {"mean": pytest.approx(1), "low": pytest.approx(1), "high": pytest.approx(1)}
    assert model["order_share"] is None, "where nothing drifts there is nothing to share"
    assert model["unusable"] == 0


def test_planted_drift_is_found_where_it_was_planted(tmp_path):
    found, *_ = measured(tmp_path, packed=Planted)
    kinds = by_kind(found)
    assert kinds["paraphrase"]["tau"]["mean"] == pytest.approx((len(PARAPHRASES) - 2) / len(PARAPHRASES))
    assert kinds["typos"]["tau"]["mean"] == kinds["candidate order"]["tau"]["mean"] == 1
    instances_ = {row["instance"]: row for row in found["tables"][0]["models"][0]["instances"]}
    assert instances_["terse"]["tau"]["mean"] == -1
    assert instances_["terse"]["first"]["mean"] == 0
    backwards = rbo(np.arange(6)[None], np.arange(6)[None, ::-1])[0]
    assert instances_["terse"]["rbo"]["mean"] == pytest.approx(backwards)
    assert instances_["films"]["tau"]["mean"] == 1


def test_lists_of_backbone_and_model_drift_less_the_less_the_model_weighs(tmp_path):
    """Worked out anew from the same cells, at every weight."""
    _, rows, lab, wish = measured(tmp_path, kinds=(Kind.PARAPHRASE,), packed=Planted)
    outcome, taus = run(lab, wish), []
    for weight in (1.0, 0.6, 0.0):
        read_rows = read(lab, wish, outcome, weight=weight)
        terse = read_rows[0].kinds[Kind.PARAPHRASE].filter(pl.col("instance") == "terse")
        taus.append(terse["tau"].mean())
    assert outcome.done.measured == 0
    assert taus[0] == -1
    assert taus[2] == 1
    assert -1 < taus[1] < 1
    (one, *_) = lab.requests
    served = rows[0].kinds[Kind.SERVED].drop("tau", "rbo", "first")
    backbone = pl.DataFrame({"person": [0], "request": [0], "backbone": [list(one.backbone)]})
    mixed = fused(served.head(1), backbone, 0.6)["scores"].to_list()[0]
    expected = fuse(np.array(one.backbone), np.array(served["scores"].to_list()[0]), 0.6)
    assert mixed == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_scorer_that_reads_places_alone_drifts_by_order_alone(tmp_path):
    found, *_ = measured(tmp_path, "listwise", draws=10, kinds=ORDERS, listwise=Positional)
    kinds = by_kind(found)
    assert kinds["paraphrase"]["tau"]["mean"] == 1
    assert abs(kinds["candidate order"]["tau"]["mean"]) < 0.3
    part = found["tables"][0]["models"][0]["order_share"]
    assert part["low"] <= 1 <= part["high"]
    assert part["mean"] > 0.7


def test_packed_never_drifts_with_the_order_of_candidates_and_does_with_words(tmp_path):
    found, rows, *_ = measured(tmp_path, draws=3, kinds=ORDERS, packed=lambda m, w: models.judging("packed", m, w))
    kinds = by_kind(found)
    assert kinds["candidate order"]["tau"] == {"mean": 1, "low": 1, "high": 1}
    assert kinds["paraphrase"]["tau"]["mean"] < 0.9
    assert kinds["paraphrase and order"]["tau"] == kinds["paraphrase"]["tau"]
    assert found["tables"][0]["models"][0]["order_share"]["mean"] == 0
    every = frame(rows)
    assert every.filter(pl.col("kind") == Kind.ORDER.value)["tau"].to_list() == [1.0] * 30


def test_what_cannot_be_used_is_counted_and_left_out(tmp_path):
    found, *_ = measured(tmp_path, packed=Mute)
    kinds = by_kind(found)
    assert kinds["paraphrase"]["tau"] is None
    assert kinds["paraphrase"]["unusable"] == kinds["paraphrase"]["answers"] == 10 * len(PARAPHRASES)
    assert kinds["earlier turns"]["tau"] is None
    assert kinds["typos"]["tau"]["mean"] == 1


def test_models_stand_beside_each_other_before_and_after(tmp_path):
    found, *_ = measured(tmp_path, packed=Forgetful, forgotten=Acting(), adapters={"Horror": "abc"})
    (table,) = found["tables"]
    assert [one["model"] for one in table["models"]] == ["base", "without Horror"]
    before, after = (by_kind(found, model=n)["paraphrase"] for n in (0, 1))
    assert (before["tau"]["mean"], before["change"]) == (1, None)
    assert after["change"]["mean"] == pytest.approx(-2 / len(PARAPHRASES))
    assert table["models"][1]["moved"]["tau"]["mean"] == -1
    assert table["models"][0]["moved"] is None
    text, pictures = page_of(about(), found, folder="drift")
    assert "**without Horror**" in text
    assert "Against the base, both as served: Kendall's τ -1.000" in text
    assert list(pictures) == ["packed"]


def test_answers_in_words_are_compared_by_likeness(tmp_path):
    found, rows, *_ = measured(tmp_path, FREE, kinds=(Kind.ORDER, Kind.PARAPHRASE), asking=Asking(3, 1, 3))
    kinds = by_kind(found)
    every = frame(rows)
    served = every.filter(pl.col("kind") == Kind.SERVED.value)
    assert served["similarity"].to_list() == pytest.approx([1.0] * served.height)
    assert -1 <= kinds["paraphrase"]["similarity"]["mean"] < 1
    one = every.filter((pl.col("instance") == "films") & (pl.col("person") == 2) & (pl.col("request") == 0))
    told = served.filter((pl.col("person") == 2) & (pl.col("request") == 0))
    a, b = drifting.letters([one["answer"][0], told["answer"][0]])
    assert one["similarity"][0] == pytest.approx(float(a @ b), abs=1e-6)


def test_a_reasoned_request_comes_after_the_models_own_thoughts_where_it_has_words_for_them(tmp_path, monkeypatch):
    heard = []

    class _Hearing(Ignoring):
        def _one(self, asked):
            heard.append((asked, self.wording.earlier))
            return super()._one(asked)

    monkeypatch.setattr(measuring, "fluent", lambda model, said: np.array([float(n % 2) for n in range(len(said))]))
    found, *_ = measured(tmp_path, kinds=(Kind.REASON,), packed=_Hearing)
    row = by_kind(found)["reasoning first"]
    assert (row["unusable"], row["answers"]) == (5, 10)
    reasoned = [(asked, earlier) for asked, earlier in heard if earlier]
    assert len(reasoned) == 5
    for asked, ((question, thought),) in reasoned:
        assert question == reason(asked)
        assert (thought,) == tuple(one.text for one in speak(toy_model(), [question], longest=measuring.THOUGHT))


def test_a_request_is_put_again_after_an_answer_that_left_every_candidate_in_its_place(tmp_path):
    heard = []

    class _Hearing(Ignoring):
        def _one(self, asked):
            heard.append((asked, self.wording))
            return super()._one(asked)

    measured(tmp_path, kinds=(Kind.TURNS,), packed=_Hearing)
    again = [(asked, wording) for asked, wording in heard if any("{" in said for _, said in wording.earlier)]
    assert len(again) == 10
    for asked, wording in again:
        ((question, said),) = wording.earlier
        assert question == generate(asked)
        assert json.loads(said) == {"ranking": list(range(1, len(asked.candidates) + 1))}
        assert replace(wording, earlier=()) == SERVED


def test_a_model_that_only_refuses_to_think_reasons_about_nothing(monkeypatch):
    said = (Spoken("q", UNKNOWN_TITLE, True), Spoken("q", "They like war films.", True))
    monkeypatch.setattr(measuring, "speak", lambda *given, **settings: said)
    monkeypatch.setattr(measuring, "fluent", lambda model, found: np.ones(len(found)))
    _, able = measuring.thoughts(toy_model(), [context(1), context(2)], SERVED)
    assert able.tolist() == [False, True]


# What is kept.


def test_the_same_run_again_measures_nothing_and_a_lost_cell_alone_is_measured_again(tmp_path):
    Counting.lists = 0
    found, _, lab, wish = measured(tmp_path, packed=Counting)
    first = Counting.lists
    assert first == sum(len(instances(kind, draws=2, seed=0)) for kind in WORDS_GIVEN) * len(lab.requests)
    again, *_ = measured(tmp_path, packed=Counting)
    assert Counting.lists == first
    assert again["cells"] == {"finished": len(WORDS_GIVEN), "measured_now": 0, "left": 0}
    assert again["tables"] == found["tables"]
    lost = next(spec for spec in plan(lab, wish) if spec.kind is Kind.TYPOS)
    shutil.rmtree(tmp_path / lost.name)
    third, *_ = measured(tmp_path, packed=Counting)
    assert Counting.lists == first + 2 * len(lab.requests)
    assert third["tables"] == found["tables"]


def test_a_run_without_time_leaves_its_cells(tmp_path):
    lab, wish = lab_of(tmp_path, packed=Ignoring), Wish(("packed",))
    outcome = run(lab, wish, minutes=0)
    assert (outcome.done.measured, outcome.done.left) == (0, len(Kind))
    assert read(lab, wish, outcome) == []
    found = plain(summarise(lab, wish, outcome, []))
    assert found["tables"][0]["models"] == []
    text, pictures = page_of(about(), found, folder="drift")
    assert f"{len(Kind)} cells are still to be measured" in text
    assert pictures == {}


def test_cells_differ_by_everything_that_determines_them(tmp_path):
    names = [
        {spec.name for spec in plan(lab_of(tmp_path, asking, packed=Ignoring), Wish(("packed",), seed=seed))}
        for asking, seed in ((ASKING, 0), (ASKING, 1), (Asking(5, 2, 7), 0))
    ]
    assert len(set.union(*names)) > 2 * len(names[0])
    assert not names[0] & names[2]


def test_rows_tell_people_by_their_place(tmp_path):
    _, _, lab, wish = measured(tmp_path, kinds=(Kind.TURNS,), packed=Ignoring)
    rows = cells.load(lab.keeper, plan(lab, wish)[0])
    assert sorted(set(rows["person"])) == list(range(ASKING.people))
    assert set(rows.columns) == set(cells.SCHEMA)


def test_unknown_scorers_and_no_draws_are_refused():
    for wrong, words in (
        ({"scorers": ("best",)}, "choose among packed"),
        ({"scorers": ()}, "no scorer"),
        ({"scorers": ("packed", "packed")}, "name each once"),
        ({"draws": 0}, "0 draws"),
    ):
        with pytest.raises(LetheError, match=words):
            Wish(**wrong)


# Figures by hand.


def rows_of(scores, kind="k", usable=True):
    return pl.DataFrame(
        {
            "person": range(len(scores)),
            "request": [0] * len(scores),
            "kind": [kind] * len(scores),
            "instance": ["one"] * len(scores),
            "usable": [usable] * len(scores),
            "scores": [[float(x) for x in one] for one in scores],
        },
        schema_overrides={"scores": pl.List(pl.Float32)},
    )


def test_agreement_by_hand():
    found = agreement(rows_of([[3, 1, 2], [1, 1, 1]]), rows_of([[3, 2, 1], [3, 2, 1]]), p=0.5)
    assert found["tau"].to_list() == [pytest.approx(1 / 3), None]
    # The lists 0 2 1 and 0 1 2 agree by 1, 1/2 and 1: 1/2 * (2 * (1/2 + 1/8 + 1/8)) ... extrapolated from depth 3.
    weights = [0.5**d for d in (1, 2, 3)]
    assert found["rbo"][0] == pytest.approx(sum(w * x for w, x in zip(weights, (1, 0.5, 1), strict=True)) + 0.5**3)
    assert found["first"][0] == 1
    assert agreement(rows_of([[1, 2, 3]], usable=False), rows_of([[1, 2, 3]]), p=0.5)["tau"].to_list() == [None]


def test_each_person_counts_once_and_intervals_are_over_people():
    rows = pl.DataFrame({"person": [0, 0, 0, 2], "tau": [1.0, 0.0, None, 0.5]})
    values = by_person(rows, "tau", 3)
    assert values[[0, 2]].tolist() == [0.5, 0.5]
    assert np.isnan(values[1])
    other = np.array([0.0, 1.0, 0.5])
    one, nothing, both = intervals([values, np.full(3, np.nan), other], 0)
    assert (one, nothing) == ({"mean": 0.5, "low": 0.5, "high": 0.5}, None)
    assert both == intervals([other], 0)[0]
    assert both["low"] < 0.5 < both["high"]
    found = share(np.array([0.1, 0.2, np.nan]), np.array([0.4, 0.2, 0.3]), 0)
    assert found["mean"] == pytest.approx(0.5)
    assert found["low"] <= 0.5 <= found["high"]
    assert share(np.zeros(2), np.zeros(2), 0) is None


def about():
    machine = {"cores": 2, "processor": "x86_64", "python": "3.11"}
    return About(datetime(2026, 1, 2, tzinfo=UTC), "lethe drift", machine, "Drift under other words")


def test_a_page_keeps_its_reading_and_tells_every_instance(tmp_path):
    found, *_ = measured(tmp_path, kinds=(Kind.PARAPHRASE,), packed=Planted)
    text, _ = page_of(about(), found, folder="drift", written="Words matter.")
    assert "Words matter." in text
    assert "| paraphrase | terse | -1.000 [-1.000, -1.000] |" in text
    assert Wording().note not in text
