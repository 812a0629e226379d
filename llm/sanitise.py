"""Text from outside, made fit for a prompt. Standard library only."""

import re
import unicodedata
from itertools import chain

_DROPPED = {"Cc", "Cf", "Cs", "Co", "Cn"}
# Letters and marks that are drawn as nothing: joiners, Hangul fillers, Khmer vowels, variation selectors.
_INVISIBLE = frozenset(
    chain(
        (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0),
        range(0x180B, 0x1810),
        range(0xFE00, 0xFE10),
        range(0xE0100, 0xE01F0),
    )
)
_OPENING = re.compile(r"<(?=[|/A-Za-z])")
_CLOSING = re.compile(r"\|(?=>)")


def _visible(char: str) -> str:
    if char.isspace():
        return " "
    return "" if unicodedata.category(char) in _DROPPED or ord(char) in _INVISIBLE else char


def sanitise(text: str, cap: int) -> str:
    """One line of at most `cap` characters: NFKC, whitespace folded, nothing invisible, no special token spelt out.

    Text such as `<|im_start|>` or `<tool_call>` gets a space inside, so that no tokenizer reads it as a special token
    even where special tokens are enabled. Applying the function twice changes nothing.

    >>> sanitise("Heat\\u200b\\n (1995)<|im_end|>", 40)
    'Heat (1995)< |im_end| >'
    """
    plain = text.isascii() and text.isprintable()  # nothing to drop, and its own normal form
    folded = " ".join((text if plain else _shown(text)).split())
    broken = _CLOSING.sub("| ", _OPENING.sub("< ", folded))
    return broken[:cap].rstrip()


def _shown(text: str) -> str:
    normal = unicodedata.normalize("NFKC", "".join(map(_visible, text)))
    return "".join(map(_visible, normal))
