"""Questions with their answers as token rows, many to a pass, as one flat sequence of branches.

Every turn has the same chat head, and judgements of one person the same history too: what turns share is computed once,
and each turn sees it and itself alone, at the positions it would have by itself. The arithmetic is that of one prompt a
pass.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from db.errors import LetheError
from llm.model import LanguageModel
from llm.prompt import HEAD, TAIL

END = "<|im_end|>"
SEQUENCE = 320
"""About so many tokens in a sequence of branches: the attention table grows with its square."""


@dataclass(frozen=True, slots=True)
class Row:
    """One turn: what it shares with others, the rest of what is asked, and the answer up to its end token."""

    shared: tuple[int, ...]
    asked: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def own(self) -> int:
        """Tokens that are not shared."""
        return len(self.asked) + len(self.answer)

    def past(self, count: int) -> "Row":
        """The same with so many tokens of the answer begun on the model's behalf: they are not scored."""
        return Row(self.shared, self.asked + self.answer[:count], self.answer[count:])


@dataclass(frozen=True, slots=True)
class Turn:
    """A user turn and its answer as text; `shared` is where the turn begins, for packing."""

    question: str
    answer: str
    shared: str = ""
    begun: str = ""
    """How the answer has been begun; not scored."""


def encode_rows(model: LanguageModel, turns: Sequence[Turn]) -> list[Row]:
    """Token rows of turns, in order. Text from outside never becomes a special token."""
    head, tail, end = (model.frame(frame) for frame in (HEAD, TAIL, END))
    parts = [text for turn in turns for text in (turn.shared, turn.question, turn.begun, turn.answer)]
    coded = iter(model.encode(parts))
    rows = []
    for _ in turns:
        shared, question, begun, answer = (next(coded) for _ in range(4))
        rows.append(Row(tuple(head + shared), tuple(question + tail + begun), tuple(answer + end)))
    too_long = next((row for row in rows if len(row.shared) + row.own > model.limit), None)
    if too_long is not None:
        raise LetheError(f"a turn of {len(too_long.shared) + too_long.own} tokens: {model.name} has {model.limit}")
    return rows


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences of branches, padded: ids and positions int64 [sequences, tokens], who may see whom bool.

    `owner` int64 [sequences, tokens] is the place in `rows` of the row a token belongs to, -1 for what is shared and
    for padding. `places` int64 [answer tokens] are flat places that predict `targets`, whose rows are `target_owner`.
    """

    ids: Tensor
    positions: Tensor
    allowed: Tensor
    owner: Tensor
    places: Tensor
    targets: Tensor
    target_owner: Tensor
    rows: tuple[int, ...]
    """Numbers of the rows in it, as they were given."""


def batches(rows: Sequence[Row], device: torch.device, *, tokens: int = 4096) -> Iterator[Batch]:
    """Every row once, in batches of about `tokens` tokens; rows that share the same beginning lie together."""
    sequences = sorted(_sequences(rows), key=lambda sequence: _size(rows, sequence))
    held: list[list[int]] = []
    for sequence in sequences:
        if held and (len(held) + 1) * _size(rows, sequence) > tokens:
            yield _batch(rows, held, device)
            held = []
        held.append(sequence)
    if held:
        yield _batch(rows, held, device)


def one_batch(rows: Sequence[Row], device: torch.device) -> Batch:
    """Every row in a single pass, whatever its size: sequences are padded to the widest, so all are filled to it."""
    widest = max(_size(rows, sequence) for sequence in _sequences(rows))
    return _batch(rows, list(_sequences(rows, widest)), device)


def _size(rows: Sequence[Row], sequence: Sequence[int]) -> int:
    return len(rows[sequence[0]].shared) + sum(rows[number].own for number in sequence)


def _sequences(rows: Sequence[Row], tokens: int = SEQUENCE) -> Iterator[list[int]]:
    """Numbers of rows with the same beginning, in groups of about so many tokens."""
    together: dict[tuple[int, ...], list[int]] = {}
    for number, row in enumerate(rows):
        together.setdefault(row.shared, []).append(number)
    for numbers in together.values():
        held: list[int] = []
        for number in numbers:
            if held and _size(rows, [*held, number]) > max(tokens, 2 * len(rows[number].shared)):
                yield held
                held = []
            held.append(number)
        yield held


def _batch(rows: Sequence[Row], sequences: Sequence[Sequence[int]], device: torch.device) -> Batch:
    shape = (len(sequences), max(_size(rows, sequence) for sequence in sequences))
    ids, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    owner = torch.full(shape, -1, dtype=torch.long)
    places: list[int] = []
    count = 0
    for line, sequence in enumerate(sequences):
        start = split = len(rows[sequence[0]].shared)
        ids[line, :split], positions[line, :split] = torch.tensor(rows[sequence[0]].shared), torch.arange(split)
        for number in sequence:
            row = rows[number]
            stop = start + row.own
            ids[line, start:stop] = torch.tensor(row.asked + row.answer)
            positions[line, start:stop] = torch.arange(split, split + row.own)
            owner[line, start:stop] = count
            count += 1
            places += range(line * shape[1] + start + len(row.asked) - 1, line * shape[1] + stop - 1)
            start = stop
    at = torch.tensor(places)
    return Batch(
        ids=ids.to(device),
        positions=positions.to(device),
        allowed=_allowed(owner).to(device),
        owner=owner.to(device),
        places=at.to(device),
        targets=ids.flatten()[at + 1].to(device),
        target_owner=owner.flatten()[at].to(device),
        rows=tuple(number for sequence in sequences for number in sequence),
    )


def _allowed(owner: Tensor) -> Tensor:
    """Who may see whom, [sequences, 1, tokens, tokens]: nothing later, and of branches only the own one."""
    near = (owner[:, None, :] == -1) | (owner[:, :, None] == owner[:, None, :])
    return (near & torch.ones(near.shape[-2:], dtype=torch.bool).tril())[:, None]


def hidden_states(model: LanguageModel, batch: Batch) -> Tensor:
    """States after the last norm, [sequences, tokens, hidden]; gradients flow where parameters ask for them."""
    decoder = model.model.get_decoder()
    states: Tensor = decoder(
        input_ids=batch.ids, position_ids=batch.positions, attention_mask=batch.allowed, use_cache=False
    )[0]
    return states


def answer_states(model: LanguageModel, batch: Batch) -> Tensor:
    """States that predict the answers' tokens, [answer tokens, hidden]."""
    return hidden_states(model, batch).flatten(0, 1).index_select(0, batch.places)


def logits_of(model: LanguageModel, states: Tensor) -> Tensor:
    """Logits of every token for states after the last norm, [states, vocabulary]."""
    logits: Tensor = model.model.get_output_embeddings()(states)
    return logits


def row_sums(values: Tensor, batch: Batch) -> Tensor:
    """Sums of a value of each answer token over its row, in the order of `batch.rows`."""
    return values.new_zeros(len(batch.rows)).index_add(0, batch.target_owner, values)


def in_order(parts: Iterable[tuple[Batch, Tensor]], count: int) -> Tensor:
    """Values of rows from all batches, in the order in which the rows were given."""
    found: Tensor | None = None
    for batch, values in parts:
        found = values.new_empty(count) if found is None else found
        found[list(batch.rows)] = values
    return found if found is not None else torch.empty(0)
