import numpy as np
import pytest
import torch

from recsys.semantic_ids.codes import numbered
from recsys.semantic_ids.decoder import Decoder, Shape
from recsys.semantic_ids.speaker import Speaker, rows_of, span
from recsys.semantic_ids.training import spoken, token_loss
from recsys.semantic_ids.trie import Trie

SMALL = Shape(hidden=16, layers=2, heads=4, shared=2, inner=24, dropout=0.0)
CODES = np.random.default_rng(1).integers(0, 3, size=(20, 2))
HISTORIES = [np.array([4, 1, 17]), np.array([9]), np.array([0, 3, 5, 7, 11])]


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    table = numbered(CODES, width=3, digits=8)
    torch.manual_seed(0)
    decoder = Decoder(SMALL, table.vocabulary + 1).eval()
    torch.nn.init.normal_(decoder.embed_tokens.weight)
    return Speaker(decoder, Trie(table), window=4)


def slowly(speaker: Speaker, history, *, free: bool):
    """log p of every item by one plain forward pass for each of its tokens."""
    table, out = speaker.trie.table, []
    for own in table.codes.tolist():
        total = 0.0
        for depth, code in enumerate(own):
            tokens, _ = rows_of(table, [history[-speaker.window :]])
            said = torch.tensor([table.tokens[[*map(tuple, table.codes.tolist())].index(tuple(own))][:depth]])
            whole = torch.cat([tokens, said.long()], dim=1)
            state = speaker.decoder(speaker.decoder.embed_tokens(whole))[0][0, -1]
            logits = speaker.decoder.embed_tokens.weight[span(table, depth)] @ state
            same = (table.codes[:, :depth] == own[:depth]).all(axis=1)
            legal = range(len(logits)) if free else np.unique(table.codes[same, depth]).tolist()
            total += float(logits[code] - logits[list(legal)].logsumexp(0))
        out.append(total)
    return np.array(out)


@pytest.mark.parametrize("free", [False, True])
def test_scores_by_the_tree_are_those_of_plain_passes(speaker, free):
    found = speaker.scores(HISTORIES, free=free)
    with torch.no_grad():
        expected = np.stack([slowly(speaker, history, free=free) for history in HISTORIES])
    assert found == pytest.approx(expected, abs=1e-5)


def test_under_the_trie_all_probability_is_the_items(speaker):
    assert np.exp(speaker.scores(HISTORIES)).sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    assert (np.exp(speaker.scores(HISTORIES, free=True)).sum(axis=1) < 1).all()


def test_a_wide_beam_finds_the_best_open_items(speaker):
    scores, closed = speaker.scores(HISTORIES), [np.array([2, 5]), np.array([], np.int64), np.arange(12)]
    for (rows, known), dense, shut in zip(speaker.beam(HISTORIES, closed, 6, width=20), scores, closed, strict=True):
        left = np.setdiff1d(np.arange(20), shut)
        assert rows.tolist() == left[np.argsort(-dense[left], kind="stable")][:6].tolist()
        assert known == pytest.approx(dense[rows], abs=1e-5)


def test_a_narrow_beam_gives_full_lists(speaker):
    for (rows, _), shut in zip(
        speaker.beam(HISTORIES, [np.arange(15)] * 3, 5, width=1), [np.arange(15)] * 3, strict=True
    ):
        assert len(rows) == 5
        assert not np.isin(rows, shut).any()


def test_states_are_those_of_transformers_qwen2():
    from transformers import Qwen2Config, Qwen2Model

    ours = Decoder(SMALL, 30).eval()
    config = Qwen2Config(
        vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=24, rope_theta=10_000.0, rms_norm_eps=1e-6,
    )  # fmt: skip
    theirs = Qwen2Model(config).eval()
    for tensor in ours.parameters():
        torch.nn.init.normal_(tensor, std=0.3)
    missing, unknown = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert (missing, unknown) == ([], [])
    tokens = torch.randint(0, 30, (3, 9))
    with torch.no_grad():
        same = ours(ours.embed_tokens(tokens))[0]
        assert torch.allclose(same, theirs(tokens).last_hidden_state, atol=1e-5)


def test_the_loss_is_the_mean_of_minus_log_p_of_the_tokens_of_real_items(speaker):
    table, decoder = speaker.trie.table, speaker.decoder
    with torch.no_grad():
        found = token_loss(decoder, table, HISTORIES[:2])
        terms = []
        for history in HISTORIES[:2]:
            tokens, _ = rows_of(table, [history])
            states = decoder(decoder.embed_tokens(tokens))[0][0]
            for place, token in enumerate(tokens[0, 1:].tolist()):
                there = span(table, place % 3)
                logits = decoder.embed_tokens.weight[there] @ states[place]
                terms.append(float(logits.logsumexp(0) - logits[token - there.start]))
    assert float(found) == pytest.approx(np.mean(terms), abs=1e-5)
    assert len(terms) == 3 * 4


def test_padding_speaks_no_token(speaker):
    table = speaker.trie.table
    tokens, lengths = rows_of(table, HISTORIES)
    with torch.no_grad():
        states, _ = speaker.decoder(speaker.decoder.embed_tokens(tokens))
        assert len(spoken(speaker.decoder, table, states[:, :-1], tokens[:, 1:], lengths - 1)) == 3 * (3 + 1 + 5)
