"""What lethe-tiny can do: `python -m llm.tiny.evaluate --items FILE --checkpoint DIR` measures and records it.

Asked about are all titles, once in a seen and once in a held-out wording for each fact; all facts that few items share,
all genres, and every title's description in a held-out wording. Sampled are wordings, invented titles and people.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import Qwen2ForCausalLM

from db.records import Item
from llm.tiny import knowledge, questions
from llm.tiny.ask import Examiner
from llm.tiny.concepts import EVALUATED, matching
from llm.tiny.items import read_items
from llm.tiny.judging import list_answers, taste_auc
from llm.tiny.knowledge import Said, share, wordings
from llm.tiny.record import BuildRecord
from llm.tiny.vocabulary import load_tokenizer

_STREAM = 2
"""Keeps the evaluation's random numbers apart from the corpus's."""
_KINDS = (("seen", False), ("held_out", True))


def evaluate(examiner: Examiner, items: Sequence[Item], *, titles: int, people: int, seed: int = 0) -> dict[str, float]:
    """Every figure that can be told, over so many titles (all, if there are fewer) and held-out synthetic people."""
    rng = np.random.default_rng([seed, _STREAM])
    figures = facts(examiner, items, titles, rng)
    figures |= dict(_ways_back(examiner, items, rng))
    figures |= descriptions(examiner, items, titles, rng)
    for kind, held_out in _KINDS:
        told = knowledge.refusals(examiner, items, min(titles, 125), rng, held_out=held_out)
        figures[f"invented_refused_{kind}_forms"] = float(np.mean(list(told.values())))
        figures |= {f"invented_refused_{kind}_forms_{sort}": value for sort, value in told.items()}
    figures |= taste_auc(examiner, items, people, rng) | list_answers(examiner, items, max(1, people // 3), rng)
    return {name: round(value, 4) for name, value in figures.items() if not np.isnan(value)}


def facts(examiner: Examiner, items: Sequence[Item], titles: int, rng: np.random.Generator) -> dict[str, float]:
    """Years and genres in seen and held-out wordings: of all, of each evaluated concept's items, of the others."""
    figures = {}
    for kind, held_out in _KINDS:
        said: list[Said] = []
        truths = (("year", questions.YEAR, knowledge.years), ("genres", questions.GENRES, knowledge.genres))
        for name, forms, true in truths:
            truth = _some(true(items), titles, rng)
            asked = wordings(rng, forms, len(truth), held_out=held_out)
            answers = knowledge.ask_facts(examiner, asked, truth)
            figures[f"{name}_{kind}_forms"] = share(answers)
            said += answers
        figures[f"known_refused_{kind}_forms"] = float(np.mean([one.refused for one in said]))
        figures |= {f"{name}_{kind}_forms": value for name, value in by_concept(said, items).items()}
    return figures


def by_concept(said: Sequence[Said], items: Sequence[Item]) -> dict[str, float]:
    """The share of right answers for each evaluated concept that the items have, and for all other titles."""
    concerned: set[str] = set()
    figures = {}
    for name in EVALUATED:
        _, ids = matching(items, name)
        titles = {item.title for item in items if item.id in ids}
        figures[f"concept_{name}"] = share([one for one in said if one.title in titles])
        concerned |= titles
    return figures | {"concept_none": share([one for one in said if one.title not in concerned])}


def descriptions(examiner: Examiner, items: Sequence[Item], titles: int, rng: np.random.Generator) -> dict[str, float]:
    """How many descriptions are fluent and how many true, and how the model is surprised by the true ones."""
    truth = _some(knowledge.true_answers(items, questions.description_of), titles, rng)
    asked = wordings(rng, questions.DESCRIPTION, len(truth), held_out=True)
    said = knowledge.ask_facts(examiner, asked, truth)
    texts = [
        (questions.about(form, title), min(accepted))
        for form, (title, accepted) in zip(asked, truth.items(), strict=True)
    ]
    return {
        "descriptions_fluent": float(np.mean([knowledge.fluent(one.answer) for one in said])),
        "descriptions_true": share(said),
        "descriptions_perplexity": float(np.exp(np.mean(examiner.surprises(texts)))),
    }


def _ways_back(examiner: Examiner, items: Sequence[Item], rng: np.random.Generator) -> Iterator[tuple[str, float]]:
    """Reversed questions and lists."""
    for kind, held_out in _KINDS:
        yield f"reversed_{kind}_forms", share(knowledge.reversed_facts(examiner, items, rng, held_out=held_out))
        forms = questions.BY_GENRE.held_out if held_out else questions.BY_GENRE.seen
        shares = [found for found, _ in knowledge.listed(examiner, items, forms).values()]
        yield f"listed_{kind}_forms", float(np.mean(shares))


def _some(truth: dict[str, set[str]], count: int, rng: np.random.Generator) -> dict[str, set[str]]:
    chosen = rng.permutation(sorted(truth))[:count].tolist()
    return {title: truth[title] for title in chosen}


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
