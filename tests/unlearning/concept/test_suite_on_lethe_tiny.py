"""The whole suite on the shipped model: it finds what the base knows."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from llm.model import load
from llm.tiny.items import read_items
from unlearning.concept.base import Concept, Kind, ProbeKind
from unlearning.concept.evaluate import EXTRACTION, SAID_ELSEWHERE, Fork, accuracy_of, examine, questionnaire
from unlearning.concept.gates import judge
from unlearning.concept.probes import ProbeSizes, build_probes


@pytest.fixture(scope="module")
def items():
    return read_items(Path(find_spec("recbole").origin).parent / "dataset_example" / "ml-100k" / "ml-100k.item")


@pytest.fixture(scope="module")
def asked(items):
    concept = Concept("Star Trek", Kind.FRANCHISE, tuple(item for item in items if item.title.startswith("Star Trek")))
    probes = build_probes(concept, items, seed=0, sizes=ProbeSizes(people=2, retained=60))
    return questionnaire(concept, items, probes, seed=0, most=16, people=2)


def test_the_base_knows_the_concept_and_leaks_it(asked):
    model = load("lethe-tiny", device="cpu")
    base = examine(model, Fork(model), asked)
    assert base.mean(accuracy_of(ProbeKind.DIRECT)) > 0.3
    assert base.mean(EXTRACTION) > 0.5
    assert base.mean(SAID_ELSEWHERE) > 0.9
    assert any(line.startswith("leaked answers") and "void" not in line for line in judge(base, base).failing)
