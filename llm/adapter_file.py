"""An adapter on disk: a plain PEFT LoRA, and beside it a card that says what it is and how to know it again.

Any PEFT reads the folder without Lethe. Lethe reads only safetensors and JSON, and only what it wrote itself: LoRA
without bias, DoRA or saved modules, on the projections of numbered layers.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from db.errors import LetheError

CARD = "lethe.json"
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PROJECTIONS = ("gate_proj", "up_proj", "down_proj", "o_proj", "q_proj", "k_proj", "v_proj")
_TENSOR = re.compile(
    r"base_model\.model\.(model\.layers\.\d+\.(?:mlp|self_attn)\.(?:"
    + "|".join(PROJECTIONS)
    + r"))\.lora_([AB])\.weight"
)
_REFUSED = ("use_dora", "use_rslora", "modules_to_save", "rank_pattern", "alpha_pattern", "lora_bias", "fan_in_fan_out")

JsonMap = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Canary:
    """Logits after one prompt, by which an attached adapter is known: some tokens', without and with the adapter."""

    prompt: str
    """The user's turn."""
    tokens: tuple[int, ...]
    base: tuple[float, ...]
    adapted: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.tokens) == len(self.base) == len(self.adapted) > 0:
            raise LetheError(f"canary of {len(self.tokens)} tokens: give one at least, with both logits of each")


@dataclass(frozen=True, slots=True)
class AdapterCard:
    """What an adapter forgets, for which model, and where it comes from. No user row has any part in it."""

    concept: str
    kind: str
    items: tuple[str, ...]
    base: str
    """The fingerprint of the model it was trained on; it serves no other."""
    canary: Canary
    weights: str = ""
    """sha256 of the tensors' file; filled in as it is written."""
    mask: JsonMap = field(default_factory=dict)
    """Origin, digest, neurons and heads of every layer."""
    scores: JsonMap = field(default_factory=dict)
    """The score of each chosen neuron, in the mask's order."""
    settings: JsonMap = field(default_factory=dict)
    lineage: JsonMap = field(default_factory=dict)
    """What it was trained on, by digest: synthetic profiles and item text only."""
    facts: JsonMap = field(default_factory=dict)

    @classmethod
    def parse(cls, found: JsonMap) -> Self:
        """The card of its JSON form; unknown or missing keys are a KeyError or TypeError."""
        canary: dict[str, Any] = {
            name: value if name == "prompt" else tuple(value) for name, value in found["canary"].items()
        }
        values: dict[str, Any] = dict(found) | {"items": tuple(found["items"]), "canary": Canary(**canary)}
        return cls(**values)


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """An adapter as it was read: card, LoRA settings, and tensors by (module, `A` or `B`)."""

    card: AdapterCard
    config: LoraConfig
    tensors: Mapping[tuple[str, str], Tensor]

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the modules it changes, within the base model."""
        return tuple(sorted({module for module, _ in self.tensors}))


def lora_config(modules: Sequence[str], *, rank: int, alpha: float) -> LoraConfig:
    """A plain LoRA on exactly these modules."""
    short = sorted(name.removeprefix("model.") for name in modules)
    return LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=short, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM"
    )


def write_adapter(folder: Path, adapter: AdapterFile) -> AdapterCard:
    """Write a new folder that PEFT reads by itself; the card, written last, seals the tensors by their hash."""
    folder.mkdir(parents=True, exist_ok=True)
    named = {
        f"base_model.model.{module}.lora_{side}.weight": tensor.detach().cpu().contiguous()
        for (module, side), tensor in sorted(adapter.tensors.items())
    }
    save_file(named, folder / WEIGHTS, metadata={"format": "pt"})
    adapter.config.save_pretrained(folder)
    card = asdict(adapter.card) | {"weights": _digest(folder / WEIGHTS)}
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return AdapterCard.parse(card)


def read_adapter(folder: Path) -> AdapterFile:
    """The adapter of a folder; LetheError where it is incomplete, changed, or more than a plain LoRA."""
    try:
        found = json.loads((folder / CARD).read_text(encoding="utf-8"))
        card = AdapterCard.parse(found)
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        digest = _digest(folder / WEIGHTS)
        tensors = load_file(folder / WEIGHTS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise LetheError(f"adapter {folder.name!r} is not readable: forget it again") from error
    if digest != card.weights:
        raise LetheError(f"adapter {folder.name!r} is not the one its card was written for: forget the concept again")
    return AdapterFile(card, _plain(config, folder.name), _named(tensors, folder.name))


def read_card(folder: Path) -> AdapterCard:
    """The card alone, without reading the tensors."""
    try:
        return AdapterCard.parse(json.loads((folder / CARD).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LetheError(f"adapter {folder.name!r} has no readable {CARD}: forget the concept again") from error


def _plain(config: JsonMap, name: str) -> LoraConfig:
    extra = [key for key in _REFUSED if config.get(key)]
    if config.get("peft_type") != "LORA" or config.get("bias") != "none" or extra:
        raise LetheError(f"adapter {name!r} is no plain LoRA ({', '.join(extra) or 'type or bias'}): forget it again")
    if any(key not in config for key in ("r", "lora_alpha", "target_modules")):
        raise LetheError(f"adapter {name!r} lacks its rank, alpha or modules: forget it again")
    return lora_config(config["target_modules"], rank=config["r"], alpha=config["lora_alpha"])


def _named(tensors: Mapping[str, Tensor], name: str) -> dict[tuple[str, str], Tensor]:
    found = {}
    for key, tensor in tensors.items():
        match = _TENSOR.fullmatch(key)
        if match is None:
            raise LetheError(f"adapter {name!r} holds {key!r}, which no adapter of Lethe has: forget it again")
        found[match[1], match[2]] = tensor
    return found


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
