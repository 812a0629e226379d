"""Real vocabularies and models that the language-model tests share."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter

from llm.tiny.items import read_items

QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


@pytest.fixture(scope="session")
def qwen_tokenizer():
    """Qwen's real vocabulary: ids equal those of the Qwen2.5 checkpoints."""
    ranks = Path(find_spec("dashscope").origin).parent / "resources" / "qwen.tiktoken"
    core = TikTokenConverter(
        vocab_file=str(ranks), pattern=QWEN_SPLIT, extra_special_tokens=list(QWEN_SPECIAL)
    ).converted()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
    )


@pytest.fixture(scope="session")
def ml100k():
    """The items of ml-100k, from the file that ships with RecBole; RecBole itself is not imported."""
    folder = Path(find_spec("recbole").origin).parent / "dataset_example" / "ml-100k"
    return read_items(folder / "ml-100k.item")
