"""A toy model, what a fit of its concept looks at, and an adapter in training on it."""

import pytest
import torch

from tests.llm.toys import toy_model
from tests.unlearning.concept.world import toy_lesson
from unlearning.concept.confined import confine
from unlearning.concept.in_training import NAME
from unlearning.concept.mask import whole
from unlearning.concept.places import shape_of
from unlearning.concept.settings import LossName
from unlearning.concept.study import study


@pytest.fixture
def model():
    """A toy of the shape of a Qwen2."""
    return toy_model()


@pytest.fixture
def read(model):
    """What a fit looks at, read by the base."""
    return study(model, toy_lesson(), LossName.BOUNDED_ASCENT, seed=0)


@pytest.fixture
def confined(model, read):
    """An adapter in training that says something already; the base was read before."""
    made = confine(model.model, whole(shape_of(model.model)), rank=2, alpha=4, seed=0)
    with torch.no_grad():
        for layer in made.layers.values():
            layer.lora_B[NAME].weight.normal_(0, 0.1)
    return made
