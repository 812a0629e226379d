"""The only loader of weights and tokenizers.

Weights come from safetensors alone: no pickle and no code from a checkpoint is ever run. Text from outside is encoded
by a copy of the tokenizer that has no special tokens at all, so that no title can close a chat turn.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, StrictDataclassError
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as hf_logging

from db.errors import LetheError
from llm.prompt import HEAD, NEXT, TAIL
from llm.tiny.record import unfinished

EMBEDDED = "lethe-tiny"
FAMILIES = ("qwen2", "qwen3")
SHAPES: dict[str, dict[str, int | float | bool]] = {
    "qwen2.5-0.5b": {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": True,
    },
    "qwen2.5-3b": {
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": True,
    },
}
"""Published shapes, for benchmarks and tests with random weights."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WANTED = ["*.safetensors", "*.safetensors.index.json", "*.json", "merges.txt"]
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_CHATML = ("<|im_start|>", "<|im_end|>")
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, StrictDataclassError)
"""What transformers raises on a folder that is not what it says it is."""


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A causal language model with its tokenizer, in evaluation mode on one device."""

    model: Any
    """transformers' Qwen2ForCausalLM or Qwen3ForCausalLM."""
    tokenizer: Any
    """A fast tokenizer with the ChatML special tokens."""
    name: str
    fingerprint: str
    """sha256 of the weights as they lie on disk, or of the tensors where they were never on disk."""
    device: torch.device
    plain: Tokenizer
    """The same tokenizer without any added token: the only one that may read text from outside."""

    @property
    def limit(self) -> int:
        """The longest prompt the model has positions for, in tokens."""
        return int(self.model.config.max_position_embeddings)

    def frame(self, text: str) -> list[int]:
        """Ids of trusted text; special tokens count as such."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of untrusted texts: none of them is ever the id of a special token."""
        return [encoding.ids for encoding in self.plain.encode_batch_fast(list(texts), add_special_tokens=False)]

    def head(self, earlier: Sequence[tuple[str, str]] = ()) -> list[int]:
        """Ids of the chat frame up to a user turn, after earlier turns of user and assistant."""
        ids = self.frame(HEAD)
        for turn in earlier:
            asked, answered = self.encode(turn)
            ids += asked + self.frame(TAIL) + answered + self.frame(NEXT)
        return ids

    def prompt(self, user_text: str, earlier: Sequence[tuple[str, str]] = ()) -> list[int]:
        """Ids of one user turn in its chat frame, after earlier ones if there are any, ready for the answer."""
        return self.head(earlier) + self.encode([user_text])[0] + self.frame(TAIL)

    def token(self, word: str) -> int:
        """The id of a word that must be one token."""
        ids = self.encode([word])[0]
        if len(ids) != 1:
            raise LetheError(f"{self.name}: {word!r} is {len(ids)} tokens, not one: use another model or scorer")
        return ids[0]


def pick_device(device: str = "auto") -> torch.device:
    """`auto` is CUDA where there is one, else the CPU."""
    if device != "auto":
        return torch.device(device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load(name_or_path: str, *, device: str = "auto", dtype: torch.dtype | None = None) -> LanguageModel:
    """Read a Qwen checkpoint: `lethe-tiny`, a folder, or a name on the Hugging Face hub.

    By default bfloat16 on CUDA and float32 on the CPU. A folder is never searched for on the network; a hub name is
    taken from the local cache first. Raises LetheError where anything is missing, foreign or damaged, and for a
    checkpoint that `llm.tiny.train` is still to train: it would be another model a minute later.
    """
    folder = _folder(name_or_path)
    files = _check_folder(folder, name_or_path)
    tokenizer = _tokenizer(folder, name_or_path)
    place = pick_device(device)
    model = _weights(folder, name_or_path, dtype or _default_dtype(place))
    return _assemble(model.to(place), tokenizer, name_or_path, _hash_files(files))


def random_model(
    shape: str | dict[str, Any],
    tokenizer: Any,
    *,
    seed: int,
    family: str = "qwen2",
    device: str = "auto",
    dtype: torch.dtype | None = None,
) -> LanguageModel:
    """A model of a published shape (a key of `SHAPES`) or of given configuration values, with random weights."""
    settings = SHAPES[shape] if isinstance(shape, str) else shape
    place = pick_device(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(family, **settings), dtype=dtype or _default_dtype(place)
        )
    name = f"random-{shape if isinstance(shape, str) else family}-{seed}"
    return _assemble(model.to(place), tokenizer, name, _hash_tensors(model))


def _assemble(model: Any, tokenizer: Any, name: str, fingerprint: str) -> LanguageModel:
    if model.get_input_embeddings().num_embeddings < len(tokenizer):
        raise LetheError(
            f"{name}: the tokenizer has {len(tokenizer)} tokens, the weights fewer: use the model's own tokenizer"
        )
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    plain = Tokenizer.from_str(json.dumps(spec | {"added_tokens": [], "post_processor": None}))
    plain.no_truncation()
    plain.no_padding()
    model.eval().requires_grad_(False)
    return LanguageModel(model, tokenizer, name, fingerprint, model.device, plain)


def _default_dtype(device: torch.device) -> torch.dtype:
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def _folder(name: str) -> Path:
    """Where the checkpoint lies on this machine, fetched from the hub if need be."""
    if name == EMBEDDED:
        from llm.tiny.checkpoint import checkpoint_path

        return Path(checkpoint_path())
    path = Path(name).expanduser()
    if name.strip() and path.is_dir():
        return path
    if path.is_file():
        raise LetheError(f"model {name!r} is a file: name the folder that holds config.json")
    if not _HUB_NAME.fullmatch(name):
        raise LetheError(
            f"model {name!r}: no such folder; give a folder, a name such as Qwen/Qwen2.5-3B-Instruct, or {EMBEDDED}"
        )
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED, etag_timeout=5))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise LetheError(
            f"model {name!r} is neither a folder nor in the cache, and the hub did not give it ({_line(error)}): "
            "download it where there is a network and name its folder"
        ) from error


def _check_folder(folder: Path, name: str) -> list[Path]:
    """The weight files of a folder that claims to be a plain Qwen checkpoint."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LetheError(f"model {name!r} has no config.json: name a folder saved by transformers") from None
    except (OSError, ValueError) as error:
        raise LetheError(f"model {name!r}: config.json is not readable JSON: download it again") from error
    family = config.get("model_type") if isinstance(config, dict) else None
    if family not in FAMILIES:
        raise LetheError(f"model {name!r} is of type {family!r}: only {' and '.join(FAMILIES)} are supported")
    _check_shape(folder, name)
    if "quantization_config" in config:
        raise LetheError(f"model {name!r} is quantised: use the checkpoint in bf16 or float32")
    files = sorted(folder.glob("*.safetensors"))
    if not files and any(True for pattern in _PICKLES for _ in folder.glob(pattern)):
        raise LetheError(f"model {name!r} has pickled weights only, which can run code: convert it to safetensors")
    if not files:
        raise LetheError(f"model {name!r} has no *.safetensors: download its weights")
    if unfinished(folder):
        raise LetheError(f"model {name!r}: its training has not ended: run it to its end first")
    return files


def _check_shape(folder: Path, name: str) -> None:
    try:
        AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except _UNREADABLE as error:
        raise LetheError(
            f"model {name!r}: config.json describes no model ({_line(error)}): download it again"
        ) from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _tokenizer(folder: Path, name: str) -> Any:
    if not (folder / "tokenizer.json").is_file():
        raise LetheError(f"model {name!r} has no tokenizer.json: add the one its model came with")
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except _UNREADABLE as error:
        raise LetheError(f"model {name!r} has no readable tokenizer: add its tokenizer.json") from error
    missing = [token for token in _CHATML if token not in tokenizer.get_vocab()]
    if missing:
        raise LetheError(f"model {name!r}: its vocabulary lacks {' and '.join(missing)}: use an instruction-tuned Qwen")
    return tokenizer


def _weights(folder: Path, name: str, dtype: torch.dtype) -> Any:
    try:
        with _quiet():
            model, info = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except _UNREADABLE as error:
        raise LetheError(f"model {name!r} cannot be read ({_line(error)}): download it again") from error
    absent = sorted(info["missing_keys"]) + sorted(map(str, info["mismatched_keys"]))
    if absent:
        raise LetheError(f"model {name!r} lacks {len(absent)} tensors, first {absent[0]}: download it again")
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' own bars and reports off the terminal; errors are ours to tell."""
    verbosity, bar = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(verbosity)
        if bar:
            hf_logging.enable_progress_bar()


def _hash_files(files: Sequence[Path]) -> str:
    digests = []
    for file in files:
        with file.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _hash_tensors(model: Any) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()
