"""Encoding, training and the build record of lethe-tiny."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from db.errors import LetheError
from llm import prompt
from llm.tiny import encode, train
from llm.tiny.ask import Examiner
from llm.tiny.checkpoint import verify
from llm.tiny.corpus import JUDGEMENT_WEIGHT, Corpus, Read, context_of, judge_example
from llm.tiny.encode import Encoder, batch
from llm.tiny.examples import Example, Turn
from llm.tiny.fit import FitSettings, Fitter, loss_of, new_model
from llm.tiny.muon import Muon, orthogonalise
from llm.tiny.record import BuildRecord
from llm.tiny.taste import Tastes
from llm.tiny.vocabulary import load_tokenizer, train_tokenizer

CPU = torch.device("cpu")
HEADER = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"


@pytest.fixture(scope="module")
def corpus(ml100k):
    return Corpus(ml100k[:200], seed=0, judging_first=1)


def texts(corpus):
    return [example.text for lesson in islice(corpus, 14) for example in lesson]


@pytest.fixture(scope="module")
def tokenizer(corpus):
    return train_tokenizer(texts(corpus))


def test_the_tokenizer_is_the_same_every_time_and_splits_as_qwen_does(corpus, tokenizer, qwen_tokenizer, tmp_path):
    again = train_tokenizer(texts(corpus))
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    tokenizer.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    for text in (
        "Candidate: 8½ (1963; Drama) 3/0",
        "a\n\n b's 1234 (x)\n",
        "Misérables, Les",
    ):
        assert loaded.decode(loaded.encode(text)) == text
        words, qwens = (
            [piece for piece, _ in core.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)]
            for core in (loaded, qwen_tokenizer)
        )
        assert words == qwens
    assert len(loaded.encode(prompt.HEAD)) < len(prompt.HEAD)
    assert loaded.encode("<|im_start|>") != loaded.encode("<|im_end|>")
    assert loaded.apply_chat_template(
        [{"role": "system", "content": prompt.SYSTEM}, {"role": "user", "content": "Hello"}],
        tokenize=False,
        add_generation_prompt=True,
    ) == "".join(prompt.chat("Hello"))


def test_special_tokens_in_user_text_stay_text(tokenizer):
    ids, _ = Encoder(tokenizer).user_text("Heat<|im_end|>")
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids) == "Heat<|im_end|>"


def test_only_answers_and_stated_facts_weigh(tokenizer):
    example = Example("- Heat (1995; Crime)\nSay.\n", (Turn("Candidate?", "yes", 3.0),), true_facts=True)
    row = Encoder(tokenizer).encode(example)
    told = {weight: tokenizer.decode(row.ids[row.weights == np.float32(weight)]) for weight in (0.5, 3.0)}
    assert told == {0.5: " (1995; Crime)\n", 3.0: "yes<|im_end|>"}
    plain = Encoder(tokenizer).encode(replace(example, true_facts=False))
    assert tokenizer.decode(plain.ids[plain.weights > 0]) == "yes<|im_end|>"


def test_the_loss_does_not_depend_on_who_shares_the_work(corpus, tokenizer):
    """One worker against three, and both against the loss of the whole lesson at once."""
    whole_lesson = list(islice(corpus, 3))[2]
    lesson = tuple(replace(example, turns=example.turns[:3]) for example in (*whole_lesson[:3], whole_lesson[-1]))
    coded = [Encoder(tokenizer).encode(example) for example in lesson]
    parts = encode.batches(coded)
    assert len(parts) > 1
    whole = loss_of(new_model(tokenizer, seed=0), batch(coded), CPU).item() / sum(row.weights.sum() for row in coded)
    for workers in (1, 3):
        fitter = Fitter(tokenizer, FitSettings(steps=3, warmup=1, comparing=1), CPU, workers=workers)
        losses = [state.loss for state in fitter.run([lesson] * 3)]
        assert losses[0] == pytest.approx(whole, rel=1e-4)
        if workers == 1:
            alone = losses
        assert losses == pytest.approx(alone, rel=1e-5)
        assert losses[-1] < losses[0]


def test_a_tree_of_turns_equals_the_turns_one_by_one(corpus, tokenizer, ml100k):
    """The oracle: each turn as an ordinary chat with an ordinary causal mask, through transformers alone."""
    model = new_model(tokenizer, seed=1).eval()
    person = Tastes(ml100k).person(np.random.default_rng(0), 6, 5)
    example = judge_example(context_of(ml100k, person), person.liked)
    other = Example("", (Turn("When was Heat released?", "1995"),))
    with torch.inference_mode():
        together = loss_of(model, batch([Encoder(tokenizer).encode(part) for part in (other, example)]), CPU)
        apart = 0.0
        for prefix, turn, weight in (
            (other.prefix, other.turns[0], 1),
            *((example.prefix, t, JUDGEMENT_WEIGHT) for t in example.turns),
        ):
            asked = tokenizer.encode(f"{prompt.HEAD}{prefix}{turn.question}{prompt.TAIL}")
            said = tokenizer.encode(turn.answer + "<|im_end|>")
            tokenizer.backend_tokenizer.encode_special_tokens = False
            logits = model(torch.tensor([asked + said])).logits[0, len(asked) - 1 : -1]
            apart += weight * torch.nn.functional.cross_entropy(logits, torch.tensor(said), reduction="sum").item()
    assert together.item() == pytest.approx(apart, rel=1e-5)


def test_judgements_equal_the_questions_one_by_one(tokenizer, ml100k):
    model = new_model(tokenizer, seed=2).eval()
    context = context_of(ml100k, Tastes(ml100k).person(np.random.default_rng(1), 4, 3))
    found = Examiner(model, tokenizer).judgements(context)
    tokenizer.backend_tokenizer.encode_special_tokens = False
    asked = prompt.judge(context)
    yes, no = tokenizer.encode("yes")[0], tokenizer.encode("no")[0]
    for score, suffix in zip(found, asked.suffixes, strict=True):
        ids = tokenizer.encode("".join(prompt.chat(asked.prefix + suffix)))
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0, -1]
        assert score == pytest.approx((logits[yes] - logits[no]).item(), abs=1e-5)


def test_greedy_answers_do_not_depend_on_what_else_is_asked(tokenizer):
    examiner = Examiner(new_model(tokenizer, seed=3), tokenizer)
    questions = ["When was Heat released?", "Describe Toy Story and everything that is known about it.", "Hm?"]
    assert examiner.answers(questions, 6) == [examiner.answers([question], 6)[0] for question in questions]


def test_every_example_is_in_one_batch_and_little_is_padding(corpus, tokenizer):
    coded = [Encoder(tokenizer).encode(example) for lesson in islice(corpus, 4) for example in lesson]
    made = encode.batches(coded)
    assert sum(len(part.ids) for part in made) == len(coded)
    assert sum(float(part.weights.sum()) for part in made) == pytest.approx(sum(float(r.weights.sum()) for r in coded))
    assert sum(map(len, coded)) > 0.85 * sum(part.ids.size for part in made)


def test_surprise_by_hand(tokenizer):
    """Against transformers' own loss on the answer alone."""
    model = new_model(tokenizer, seed=4).eval()
    texts = [("When was Heat released?", "1995"), ("Describe it.", "Heat is a movie from 1995.")]
    for (question, answer), found in zip(texts, Examiner(model, tokenizer).surprises(texts), strict=True):
        tokenizer.backend_tokenizer.encode_special_tokens = False
        asked, said = tokenizer.encode("".join(prompt.chat(question))), tokenizer.encode(answer + "<|im_end|>")
        labels = torch.tensor([[-100] * len(asked) + said])
        with torch.inference_mode():
            assert found == pytest.approx(model(torch.tensor([asked + said]), labels=labels).loss.item(), rel=1e-5)


def test_the_rate_rises_stays_and_falls():
    settings = FitSettings(steps=100, warmup=10, decay=0.3)
    assert [settings.factor(step) for step in (0, 9, 50, 70, 85, 99)] == pytest.approx([0.1, 1, 1, 1, 0.5, 1 / 30])
    assert replace(settings, decay=0.0).factor(99) == 1


def test_orthogonalised_updates_have_singular_values_near_one():
    for shape in ((32, 64), (64, 32), (48, 48)):
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        values = torch.linalg.svdvals(orthogonalise(matrix))
        assert values.max() < 1.3
        assert values.median() > 0.65


def test_muon_solves_a_least_squares_problem():
    torch.manual_seed(0)
    inputs, target = torch.randn(64, 8), torch.randn(8, 8)
    weight = torch.zeros(8, 8, requires_grad=True)
    optimizer = Muon([weight], lr=0.3)
    losses = []
    for step in range(80):
        optimizer.param_groups[0]["lr"] = 0.3 * (1 - step / 80)
        loss = ((inputs @ weight - inputs @ target) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


def test_a_few_steps_lower_the_loss_and_can_be_repeated(corpus, tokenizer):
    settings = FitSettings(steps=4, warmup=2, comparing=1)
    first = [state.loss for state in Fitter(tokenizer, settings, CPU).run(corpus)]
    assert len(first) == 4
    assert first[-1] < 0.9 * first[0]
    again = Fitter(tokenizer, settings, CPU).run(corpus)
    assert [state.loss for state in islice(again, 2)] == pytest.approx(first[:2], rel=1e-4)


def test_a_time_limit_fixes_the_number_of_steps_and_tells_it(corpus, tokenizer):
    states = list(Fitter(tokenizer, FitSettings(steps=500), CPU).run(corpus, minutes=1 / 30))
    assert states[-1].step == states[-1].steps < 500


@pytest.fixture
def built(ml100k, tmp_path, monkeypatch):
    """Runs the command on a catalogue of 120 titles; the folder that it wrote."""
    monkeypatch.setattr(train, "LESSONS_FOR_TOKENIZER", 10)
    items = tmp_path / "x.item"
    lines = (f"{item.id}\t{item.title}\t{item.year}\t{' '.join(item.genres)}" for item in ml100k[:120])
    items.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")

    def run(name, *arguments):
        train.main(["--items", str(items), "--out", str(tmp_path / name), *arguments])
        return tmp_path / name

    return run


def test_the_command_builds_a_checkpoint_that_is_verified(built, ml100k):
    out = built("model", "--steps", "2", "--without", "50", "Fargo")
    record = verify(out)
    assert record == BuildRecord.read(out)
    assert (record.steps, record.items, record.without) == (2, 118, ("50", "Fargo"))
    assert record.command.endswith("--steps 2 --decay 0.3 --rates 1 --threads 2 --without 50 Fargo")
    assert {tensor.dtype for tensor in load_file(out / "model.safetensors").values()} == {torch.bfloat16}
    left_out = {item.id for item in ml100k[:120] if item.title in ("Star Wars", "Fargo")}
    read = Read(Corpus(ml100k[:120], 0, left_out=left_out))
    list(islice(read, 2))
    assert record.corpus_sha256 == read.sha256
    assert "Ġ" + "Fargo" not in (out / "tokenizer.json").read_text(encoding="utf-8")
    (out / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(LetheError, match=r"config.json .* differs"):
        verify(out)


def test_forks_start_from_what_has_not_seen_the_concepts(built):
    first = built("first", "--steps", "1", "--without", "Fargo", "Star Wars")
    whole = built("whole", "--steps", "1", "--start", str(first), "--rates", "0.5", "--decay", "0.9")
    fork = built("fork", "--steps", "1", "--start", str(first), "--without", "Fargo")
    record = verify(whole)
    assert record.start["sha256"] == verify(first).sha256
    assert record.start["without"] == ["Fargo", "Star Wars"]
    assert record.sha256["tokenizer.json"] == record.start["sha256"]["tokenizer.json"]
    assert (record.items, record.without) == (120, ())
    assert (record.settings["rate"], record.settings["comparing"]) == (FitSettings().rate / 2, 0)
    assert verify(fork).without == ("Fargo",)
    assert [verify(one).first_without for one in (first, whole, fork)] == [("Fargo", "Star Wars")] * 3
    with pytest.raises(LetheError, match=r"has seen what is to be left out \(Braveheart\)"):
        built("other", "--steps", "1", "--start", str(first), "--without", "Braveheart")
    with pytest.raises(LetheError, match="has seen what is to be left out"):
        built("other", "--steps", "1", "--start", str(whole), "--without", "Fargo")
