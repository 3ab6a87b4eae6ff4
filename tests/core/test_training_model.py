import dataclasses

import pytest
import torch
from test_captioner import TinyLanguageModel
from test_training import SETTINGS, arrays_of, settings_of, unit_rows

from tipcap.core.captioner import Captioner
from tipcap.core.ranks import Alone
from tipcap.core.training import train
from tipcap.core.training_model import Trained, build_model


def test_frozen_language_model_keeps_its_weights_and_stores_no_gradients():
    language_model = TinyLanguageModel()
    before = [p.clone() for p in language_model.parameters()]
    train(settings_of(), arrays_of(), language_model)
    for parameter, old in zip(language_model.parameters(), before, strict=True):
        assert parameter.grad is None
        assert not parameter.requires_grad
        assert torch.equal(parameter, old)


def test_trainable_language_model_is_part_of_the_saved_model():
    language_model = TinyLanguageModel()
    state = train(SETTINGS["trainable language model"], arrays_of(), language_model)
    saved = state.model["language_model.tokens"]
    assert torch.equal(saved, language_model.tokens)
    assert not torch.equal(saved, TinyLanguageModel().tokens)


def test_language_model_moves_at_its_share_of_the_learning_rate():
    moved = {}
    for share in (1.0, 0.25):
        language_model = TinyLanguageModel()
        settings = settings_of(
            language_model_trainable=True,
            language_model_rate=share,
            weight_decay=0.0,
            epochs=1,
            batch_size=20,
        )
        state = train(settings, arrays_of(), language_model)
        moved[share] = (
            state.model["language_model.mix"] - TinyLanguageModel().mix.detach(),
            state.model["captioner.projector.constants"],
        )
    torch.testing.assert_close(
        moved[0.25][0], 0.25 * moved[1.0][0], rtol=1e-2, atol=1e-7
    )
    assert torch.equal(moved[0.25][1], moved[1.0][1])


def first_step(**fields):
    """What one update changes, by part."""
    fields = {"weight_decay": 0.0, "epochs": 1, "batch_size": 20, **fields}
    settings = settings_of("trained", setting=3, **fields)
    start = train(
        dataclasses.replace(settings, learning_rate=0.0),
        arrays_of(),
        TinyLanguageModel(),
    ).model
    end = train(settings, arrays_of(), TinyLanguageModel()).model
    return {name: end[name] - start[name] for name in end}


def test_mapping_moves_at_its_share_of_the_learning_rate():
    whole, quarter = first_step(), first_step(mapping_rate=0.25)
    for name, moved in whole.items():
        share = 0.25 if name.startswith("mapping.") else 1.0
        torch.testing.assert_close(
            quarter[name], share * moved, rtol=1e-2, atol=1e-7, msg=name
        )


def test_gradients_of_mapping_and_captioner_are_clipped_apart():
    settings = settings_of("trained", setting=4, clip_norm=0.5)
    model = build_model(settings, 6, 16)
    trained = Trained(model, TinyLanguageModel(), settings)
    generator = torch.Generator().manual_seed(0)
    mapping = list(model.mapping.parameters())
    others = list(model.captioner.parameters())
    before = [p.detach().clone() for p in (*mapping, *others)]
    towards = [torch.randn(p.shape, generator=generator) for p in before]
    weights = [1e-4] * len(mapping) + [9.0] * len(others)
    loss = sum(
        weight * (p * direction).sum()
        for weight, p, direction in zip(
            weights, (*mapping, *others), towards, strict=True
        )
    )
    trained.update(loss, 1e-3, Alone())

    def norm(parameters):
        return torch.cat([p.grad.flatten() for p in parameters]).norm().item()

    small = torch.cat([1e-4 * t.flatten() for t in towards[: len(mapping)]]).norm()
    assert norm(mapping) == pytest.approx(small.item(), rel=1e-5)
    assert norm(others) == pytest.approx(0.5, rel=1e-5)


def test_betas_are_those_of_the_moments():
    states = {
        betas: train(settings_of(betas=betas), arrays_of(), TinyLanguageModel())
        for betas in ((0.9, 0.999), (0.0, 0.999))
    }
    momentum, none = (s.first_moment for s in states.values())
    assert any(not torch.equal(momentum[name], none[name]) for name in none)


@pytest.mark.parametrize("covariance", ["full", "univariate"])
def test_setting_3_starts_where_images_lie_and_setting_4_at_zero(covariance):
    arrays = arrays_of()
    away = arrays.images.mean(0) - arrays.texts.mean(0)
    if covariance == "univariate":
        away = away.mean().expand(6)
    for setting, start, expected in (
        (3, "images", away),
        (3, "zero", torch.zeros(6)),
        (4, "images", torch.zeros(6)),
    ):
        settings = settings_of(
            "trained",
            setting=setting,
            initial_mean=start,
            covariance=covariance,
            learning_rate=0.0,
        )
        state = train(settings, arrays, TinyLanguageModel())
        found = state.model["mapping.mean"].expand(6)
        torch.testing.assert_close(found, expected)


def test_trained_gap_starts_at_the_size_of_an_embeddings_entries():
    arrays = arrays_of(texts=unit_rows(20, 16), images=unit_rows(9, 16, seed=5))
    settings = settings_of("trained", setting=3, learning_rate=0.0)
    records = []
    train(settings, arrays, TinyLanguageModel(), on_step=records.append)
    assert records[0]["gap_std"] == pytest.approx(0.25, rel=1e-4)


def test_saved_model_gives_the_captioner_for_inference():
    state = train(SETTINGS["setting 1"], arrays_of(), TinyLanguageModel())
    captioner = Captioner.from_tensors(
        {
            name.removeprefix("captioner."): tensor
            for name, tensor in state.model.items()
            if name.startswith("captioner.")
        }
    )
    assert captioner.prefix(unit_rows(3)).shape == (3, 4, 16)
