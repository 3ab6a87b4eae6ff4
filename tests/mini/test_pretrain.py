import math

import pytest
import torch

from tipcap.io.encoder import build_small_model
from tipcap.io.language_model import build_language_model
from tipcap.io.pretraining import initialise
from tipcap.mini.pretrain import (
    Schedule,
    normalise_pixels,
    train_encoder,
    train_language_model,
)

NUM_COLOURS = 8
VOCABULARY = 20


def schedule(num_steps, **changes):
    return Schedule(
        num_steps=num_steps,
        batch_size=NUM_COLOURS,
        learning_rate=3e-3,
        warmup_steps=2,
        **changes,
    )


def coloured_pictures():
    """Plain pictures, each with the text that says its colour."""
    corners = torch.cartesian_prod(*[torch.tensor([40, 220])] * 3)
    pictures = corners[:, None, None, :].expand(-1, 64, 64, -1).to(torch.uint8)
    tokens = torch.zeros(NUM_COLOURS, 32, dtype=torch.int64)
    tokens[:, 0], tokens[:, 2] = VOCABULARY, VOCABULARY + 1
    tokens[:, 1] = torch.arange(NUM_COLOURS)
    return pictures.contiguous(), tokens


def trained_encoder(parameters, num_steps, seed=0, **changes):
    torch.manual_seed(0)
    model = build_small_model(parameters, VOCABULARY)
    losses = []
    train_encoder(
        model,
        *coloured_pictures(),
        schedule(num_steps, **changes),
        torch.Generator().manual_seed(seed),
        lambda _, record: losses.append(record["loss"]),
    )
    return model, losses


def trained_language_model(num_steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = {"n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
    model = build_language_model(sizes, VOCABULARY, 0)
    initialise(model, generator)
    counting = (torch.arange(16)[None] + torch.arange(VOCABULARY)[:, None]) % VOCABULARY
    records = []
    train_language_model(
        model,
        counting,
        schedule(num_steps),
        generator,
        lambda step, record: records.append((step, record)),
    )
    return model, records


def same_weights(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_contrastive_training_learns_which_text_belongs_to_which_picture(
    tiny_parameters,
):
    model, losses = trained_encoder(tiny_parameters, 40)
    assert sum(losses[-5:]) / 5 < sum(losses[:5]) / 5 / 2
    pictures, tokens = coloured_pictures()
    with torch.inference_mode():
        image = model.encode_image(normalise_pixels(pictures), normalize=True)
        text = model.encode_text(tokens, normalize=True)
    found = (image @ text.T).argmax(1) == torch.arange(NUM_COLOURS)
    assert found.float().mean() > 3 / NUM_COLOURS  # chance: one


def test_words_lead_a_training_at_first_and_not_at_its_end(tiny_parameters):
    """At the end the loss is the contrastive one alone; before, the words' is part of it."""
    weights = {"image_word_weight": 1.0, "text_word_weight": 1.0}
    _, plain = trained_encoder(tiny_parameters, 40)
    _, led = trained_encoder(tiny_parameters, 40, **weights)
    assert led[0] > plain[0] + 1
    assert sum(led[-5:]) / 5 < sum(led[:5]) / 5 / 4


def test_temperature_falls_to_its_last_value_over_the_guided_part():
    found = schedule(10, first_logit_scale=20.0)
    scales = [found.logit_scale_at(step) for step in range(10)]
    assert scales[0] == pytest.approx(20)
    assert scales[3] == pytest.approx(60)
    assert scales[6:] == [100.0] * 4


def test_contrastive_training_is_reproducible_to_the_bit(tiny_parameters):
    (one, losses), (other, again) = (trained_encoder(tiny_parameters, 5) for _ in "ab")
    assert losses == again
    assert same_weights(one, other)


def test_another_seed_sees_other_batches(tiny_parameters):
    one, other = (trained_encoder(tiny_parameters, 3, seed)[0] for seed in (0, 1))
    assert not same_weights(one, other)


def test_training_leaves_a_model_ready_for_use(tiny_parameters):
    assert not trained_encoder(tiny_parameters, 1)[0].training
    assert not trained_language_model(1)[0].training


def test_the_language_model_learns_what_comes_next():
    _, records = trained_language_model(150)
    first, last = records[0][1]["loss"], records[-1][1]["loss"]
    assert first == pytest.approx(math.log(VOCABULARY), abs=0.3)
    assert last < first / 3


def test_language_model_training_is_reproducible_to_the_bit():
    (one, records), (other, again) = (trained_language_model(5) for _ in "ab")
    assert records == again
    assert same_weights(one, other)


def test_every_step_is_reported_with_loss_and_rate():
    _, records = trained_language_model(6)
    assert [step for step, _ in records] == list(range(6))
    assert all(record.keys() == {"loss", "learning_rate"} for _, record in records)


def test_the_rate_rises_linearly_and_falls_to_a_tenth():
    found = Schedule(num_steps=100, batch_size=1, learning_rate=1.0, warmup_steps=10)
    rates = [found.rate_at(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[10] == pytest.approx(1.0)
    assert sorted(rates[10:], reverse=True) == rates[10:]
    assert found.rate_at(100) == pytest.approx(0.1)


def test_pixels_become_clips_numbers():
    """Black and white by the published mean and standard deviation; channels first."""
    pictures = torch.zeros(2, 4, 6, 3, dtype=torch.uint8)
    pictures[1] = 255
    found = normalise_pixels(pictures)
    assert found.shape == (2, 3, 4, 6)
    assert found[0, 0, 0, 0] == pytest.approx(-0.48145466 / 0.26862954)
    assert found[1, 2, 0, 0] == pytest.approx((1 - 0.40821073) / 0.27577711)
