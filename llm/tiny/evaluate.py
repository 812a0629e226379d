"""What lethe-tiny can do: `python -m llm.tiny.evaluate --items FILE --checkpoint DIR` measures and records it."""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Qwen2ForCausalLM

from db.records import Item
from llm import prompt
from llm.tiny import questions
from llm.tiny.ask import Examiner
from llm.tiny.corpus import context_of
from llm.tiny.items import read_items
from llm.tiny.record import BuildRecord
from llm.tiny.taste import Person, Tastes
from llm.tiny.titles import InventedTitles
from llm.tiny.vocabulary import load_tokenizer

_STREAM = 2
"""Keeps the evaluation's random numbers apart from the corpus's."""


def auc(scores: NDArray[np.float64], liked: NDArray[np.bool_]) -> float:
    """The chance that a liked candidate scores above another; ties count half. NaN where one kind is missing.

    >>> auc(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, False, True, True]))
    0.875
    """
    above = scores[liked][:, None] - scores[~liked][None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean()) if above.size else float("nan")


def true_answers(items: Sequence[Item], answer: Callable[[Item], str]) -> dict[str, set[str]]:
    """For each title what may be answered: a title that two items share has the answers of both."""
    accepted: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if answer(item):
            accepted[item.title].add(answer(item))
    return dict(accepted)


def years(items: Sequence[Item]) -> dict[str, set[str]]:
    """The accepted years of every title that has one."""
    return true_answers(items, lambda item: str(item.year) if item.year is not None else "")


def genres(items: Sequence[Item]) -> dict[str, set[str]]:
    """The accepted genre lists, complete, of every title that has one."""
    return true_answers(items, questions.genres_of)


def fact_accuracy(
    examiner: Examiner, forms: Sequence[str], truth: Mapping[str, set[str]], rng: np.random.Generator
) -> float:
    """The share of titles answered exactly, each asked once in a form drawn from `forms`."""
    asked = [_form(rng, forms).format(t=title) for title in truth]
    said = examiner.answers(asked)
    return float(np.mean([answer in accepted for answer, accepted in zip(said, truth.values(), strict=True)]))


def refusal_rate(examiner: Examiner, items: Sequence[Item], count: int, rng: np.random.Generator) -> float:
    """The share of held-out invented titles to which the answer is exactly that the title is not known."""
    invented = InventedTitles(items)
    forms = (*questions.YEAR.seen, *questions.GENRES.seen, *questions.DESCRIPTION.seen)
    asked = [_form(rng, forms).format(t=invented.draw(rng, evaluation=True)) for _ in range(count)]
    return float(np.mean([answer == prompt.UNKNOWN_TITLE for answer in examiner.answers(asked)]))


def taste_auc(
    examiner: Examiner, items: Sequence[Item], people: int, rng: np.random.Generator, *, candidates: int = 20
) -> dict[str, float]:
    """AUC on held-out synthetic people: over all pairs, within each person, and what the true taste itself reaches."""
    tastes = Tastes(items)
    drawn = [tastes.person(rng, 20, candidates, evaluation=True) for _ in range(people)]
    scores = [examiner.judgements(context_of(items, person)) for person in drawn]
    pairs = list(zip(scores, drawn, strict=True))
    return {
        "taste_auc": auc(np.concatenate(scores), np.concatenate([person.liked for person in drawn])),
        "taste_auc_within_person": float(np.nanmean([auc(found, person.liked) for found, person in pairs])),
        "taste_auc_ceiling": float(np.nanmean([auc(person.utility, person.liked) for person in drawn])),
    }


def list_answers(
    examiner: Examiner, items: Sequence[Item], people: int, rng: np.random.Generator, *, candidates: int = 8
) -> dict[str, float]:
    """How often the listwise and the JSON answer have the right form, and how good they are."""
    tastes = Tastes(items)
    drawn = [
        tastes.person(rng, 10, candidates, positives=max(1, candidates // 4), evaluation=True) for _ in range(people)
    ]
    contexts = [context_of(items, person) for person in drawn]
    letters = examiner.answers([prompt.listwise(context) for context in contexts], longest=4)
    orders = [
        _order(text)
        for text in examiner.answers([prompt.generate(context) for context in contexts], 12 + 4 * candidates)
    ]
    valid = [sorted(order) == list(range(1, candidates + 1)) for order in orders]
    return {
        "listwise_form": float(np.mean([letter in prompt.LABELS[:candidates] for letter in letters])),
        "listwise_liked": float(
            np.mean([_liked(person, letter) for person, letter in zip(drawn, letters, strict=True)])
        ),
        "json_form": float(np.mean([bool(order) for order in orders])),
        "json_permutation": float(np.mean(valid)),
    }


def _form(rng: np.random.Generator, forms: Sequence[str]) -> str:
    return forms[int(rng.integers(len(forms)))]


def _liked(person: Person, letter: str) -> bool:
    place = prompt.LABELS.index(letter) if letter in prompt.LABELS else len(person.liked)
    return place < len(person.liked) and bool(person.liked[place])


def _order(text: str) -> list[int]:
    """The numbers of a JSON answer; empty where the text is not one."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return []
    order = found.get(prompt.RANKING) if isinstance(found, dict) else None
    return order if isinstance(order, list) and all(type(number) is int for number in order) else []


def evaluate(examiner: Examiner, items: Sequence[Item], *, titles: int, people: int, seed: int = 0) -> dict[str, float]:
    """Every figure, over so many titles (all, if there are fewer) and held-out synthetic people."""
    rng = np.random.default_rng([seed, _STREAM])
    figures = {}
    for name, forms, truth in (("year", questions.YEAR, years(items)), ("genres", questions.GENRES, genres(items))):
        order = rng.permutation(sorted(truth))[:titles].tolist()
        asked = {title: truth[title] for title in order}
        figures[f"{name}_seen_forms"] = fact_accuracy(examiner, forms.seen, asked, rng)
        figures[f"{name}_held_out_forms"] = fact_accuracy(examiner, forms.held_out, asked, rng)
    figures["invented_refused"] = refusal_rate(examiner, items, min(titles, 500), rng)
    figures |= taste_auc(examiner, items, people, rng) | list_answers(examiner, items, max(1, people // 3), rng)
    return {name: round(value, 4) for name, value in figures.items()}


def load_examiner(folder: Path) -> Examiner:
    """The model of a checkpoint folder, in float32 on the CPU."""
    model = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return Examiner(model, load_tokenizer(folder))


def main(arguments: Sequence[str] | None = None) -> None:
    """Evaluate a checkpoint, write the figures into its record and to standard output."""
    parser = argparse.ArgumentParser(prog="python -m llm.tiny.evaluate", description=__doc__)
    parser.add_argument("--items", type=Path, required=True, help="RecBole .item file")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--titles", type=int, default=10**6, help="how many titles to ask about (default: all)")
    parser.add_argument("--people", type=int, default=300, help="how many held-out synthetic people")
    asked = parser.parse_args(arguments)
    record = BuildRecord.read(asked.checkpoint)
    items = read_items(asked.items)
    figures = evaluate(load_examiner(asked.checkpoint), items, titles=asked.titles, people=asked.people)
    replace(record, evaluation=figures).write(asked.checkpoint)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
