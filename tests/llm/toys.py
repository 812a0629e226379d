"""Small random models, a toy vocabulary and contexts for the scorer tests."""

import random
from functools import cache

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from db.records import Item, ItemId, UserId
from llm.model import LanguageModel, random_model
from retrieval.context import Context

ADJECTIVES = ("Red", "Silent", "Last", "Golden", "Hollow", "The Very Long and Winding", "Über", "A")
NOUNS = ("River", "Empire", "Dog", "Matrix, The", "Winter of 1941", "桜", "Road", "Night")
GENRES = ("Action", "Drama", "Sci-Fi", "Film-Noir", "Comedy")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


@cache
def toy_tokenizer():
    """A byte-level vocabulary of a few hundred tokens with ChatML."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["yes", "no", "Candidate: ", *ADJECTIVES, *NOUNS, *GENRES] * 20, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def toy_settings(**changes) -> dict:
    """A model of 2 layers whose logits are large enough to tell candidates apart."""
    return {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 448,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "initializer_range": 0.2,
    } | changes


def toy_model(family: str = "qwen2", *, tokenizer=None, seed: int = 0, **changes) -> LanguageModel:
    """A fresh random model on the CPU in float32."""
    return random_model(toy_settings(**changes), tokenizer or toy_tokenizer(), seed=seed, family=family, device="cpu")


def item(number: int) -> Item:
    """An item whose title, year and genres follow from its number; lengths vary widely."""
    draw = random.Random(number)
    title = f"{draw.choice(ADJECTIVES)} {draw.choice(NOUNS)} {number}"
    genres = tuple(draw.sample(GENRES, draw.randrange(4)))
    return Item(ItemId(str(number)), title, draw.choice((None, 1941, 1999)), genres)


def context(seed: int, *, candidates: int = 9, history: int = 5) -> Context:
    """One person's history and candidates."""
    numbers = random.Random(seed).sample(range(1000), candidates + history)
    chosen = tuple(map(item, numbers))
    return Context(UserId(f"u{seed}"), chosen[:history], chosen[history:])
