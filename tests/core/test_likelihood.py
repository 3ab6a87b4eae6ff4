import pytest
import torch
from test_captioner import TinyLanguageModel, captioner_of, random_tokens, seeded

from tipcap.core import likelihood
from tipcap.core.captioner import prefix_loss
from tipcap.core.likelihood import ImageLoss, batches, by_image, caption_losses
from tipcap.core.types import TokenBatch
from tipcap.errors import InputError

ROUNDING = 1e-4  # single precision, sums over seven tokens
OWNERS = torch.tensor([0, 0, 1, 2])


def losses_of(tokens, captioner=None, **sizes):
    vectors = torch.randn(3, 6, generator=seeded(1))
    lm = TinyLanguageModel(**sizes)
    return caption_losses(captioner or captioner_of(), lm, vectors, tokens, OWNERS)


def test_a_caption_costs_what_training_counts_of_it():
    tokens, captioner, lm = random_tokens(), captioner_of(), TinyLanguageModel()
    found = losses_of(tokens, captioner)
    vectors = torch.randn(3, 6, generator=seeded(1))
    for row, (owner, length) in enumerate(
        zip(OWNERS.tolist(), tokens.length.tolist(), strict=True)
    ):
        alone = TokenBatch(tokens.ids[row : row + 1, :length], torch.tensor([length]))
        prefix = captioner.prefix(vectors[owner : owner + 1])
        expected = length * prefix_loss(prefix, alone, lm).item()
        assert found[row].item() == pytest.approx(expected, abs=ROUNDING)


def test_what_is_read_before_every_caption_is_not_counted():
    """As stage 2 counts a caption behind its prompt."""
    tokens, captioner, lm = random_tokens(), captioner_of(), TinyLanguageModel()
    prompt = torch.tensor([4, 2])
    vectors = torch.randn(3, 6, generator=seeded(1))
    found = caption_losses(captioner, lm, vectors, tokens, OWNERS, prompt)
    assert found.tolist() != pytest.approx(losses_of(tokens, captioner).tolist())
    ids = torch.cat([prompt.expand(len(OWNERS), -1), tokens.ids], 1)
    both = TokenBatch(ids, tokens.length + 2)
    read = prefix_loss(
        captioner.prefix(vectors[OWNERS]), both, lm, torch.full_like(tokens.length, 2)
    )
    total = read.item() * int(tokens.length.sum())
    assert found.sum().item() == pytest.approx(total, rel=1e-4)


def test_how_captions_are_read_together_changes_no_loss(monkeypatch):
    together = losses_of(random_tokens())
    monkeypatch.setattr(likelihood, "_TOKENS_PER_BATCH", 1)
    assert losses_of(random_tokens()) == pytest.approx(together, abs=ROUNDING)


def test_what_stands_behind_a_captions_end_does_not_count():
    tokens = random_tokens()
    others = tokens.ids.clone()
    for row, length in enumerate(tokens.length.tolist()):
        others[row, length:] = 3
    same = losses_of(TokenBatch(others, tokens.length))
    assert same == pytest.approx(losses_of(tokens), abs=ROUNDING)


def test_a_caption_depends_on_its_own_image():
    tokens = random_tokens((5, 5, 5, 5))
    same_words = TokenBatch(tokens.ids[:1].expand(4, -1), tokens.length)
    first, second, third, _ = losses_of(same_words).tolist()
    assert first == pytest.approx(second, abs=ROUNDING)
    assert abs(first - third) > 100 * ROUNDING


def test_batches_hold_every_caption_once_and_a_bounded_number_of_tokens(monkeypatch):
    monkeypatch.setattr(likelihood, "_TOKENS_PER_BATCH", 12)
    length = torch.tensor([5, 2, 7, 1, 20, 3, 3])
    parts = [part.tolist() for part in batches(length)]
    assert sorted(row for part in parts for row in part) == list(range(7))
    assert parts[0] == [4]  # longer than a batch, and alone
    assert all(
        len(part) * max(length[part].tolist()) <= 12 or len(part) == 1 for part in parts
    )


def test_an_image_sums_over_its_captions():
    losses = torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)
    found = by_image(losses, torch.tensor([3, 1, 2, 5]), OWNERS, 3)
    assert found == [ImageLoss(3.0, 4), ImageLoss(4.0, 2), ImageLoss(8.0, 5)]


def test_a_caption_that_the_language_model_cannot_read_is_one_clear_line():
    with pytest.raises(InputError, match="at most 6 positions"):
        losses_of(random_tokens(), max_positions=6)
