import dataclasses

import pytest
import torch
from test_captioner import TinyLanguageModel
from test_training import (
    SETTINGS,
    arrays_of,
    seeded,
    settings_of,
    unit_rows,
    weights_equal,
)

from tipcap.core.captioner import Captioner
from tipcap.core.training import train
from tipcap.core.training_batches import mapped_embeddings
from tipcap.core.training_model import build_model


@pytest.mark.parametrize("name", ["setting 3", "setting 4"])
def test_last_batch_of_one_caption_trains_without_relational_losses(name):
    records = []
    state = train(
        SETTINGS[name],
        arrays_of(9),
        TinyLanguageModel(),
        on_step=records.append,
        log_every=1,
    )
    assert state.step == 4
    assert "map" in records[0]
    assert "map" not in records[1]


def test_loss_is_the_sum_of_its_parts():
    records = []
    train(
        SETTINGS["setting 4"], arrays_of(), TinyLanguageModel(), on_step=records.append
    )
    parts = ("caption", "reconstruction", "map", "distillation")
    for record in records:
        assert record["loss"] == pytest.approx(sum(record[p] for p in parts), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("setting 1", {"caption", "reconstruction"}),
        ("no reverse mapping", {"caption"}),
        ("setting 3", {"caption", "reconstruction", "map"}),
        ("setting 4", {"caption", "reconstruction", "map", "distillation"}),
    ],
)
def test_each_setting_has_its_losses(name, parts):
    records = []
    train(SETTINGS[name], arrays_of(), TinyLanguageModel(), on_step=records.append)
    others = {"step", "epoch", "learning_rate", "loss", "gap_mean_norm", "gap_std"}
    assert records[-1].keys() - others == parts


def test_own_images_equal_to_the_texts_train_as_no_mapping_does():
    arrays = arrays_of()
    order = torch.randperm(20, generator=seeded(4))
    images = torch.empty_like(arrays.texts)
    images[order] = arrays.texts
    paired = train(
        settings_of("paired"),
        arrays._replace(images=images, image_row=order),
        TinyLanguageModel(),
    )
    assert weights_equal(paired, train(settings_of(), arrays, TinyLanguageModel()))


def test_noise_of_zero_trains_as_no_mapping_does():
    noisy = train(settings_of("fixed", noise_std=0.0), arrays_of(), TinyLanguageModel())
    plain = train(settings_of(), arrays_of(), TinyLanguageModel())
    assert weights_equal(noisy, plain)


@pytest.mark.parametrize("name", ["setting 1", "setting 3", "setting 4", "fixed noise"])
def test_renormalised_mappings_are_so_in_training(name):
    """The captioner then reads unit vectors, as at inference."""
    settings = dataclasses.replace(SETTINGS[name], renormalise=True)
    read = []
    with pytest.MonkeyPatch.context() as patch:
        reconstruct = Captioner.reconstruct
        patch.setattr(
            Captioner,
            "reconstruct",
            lambda self, rows: read.append(rows.detach()) or reconstruct(self, rows),
        )
        train(settings, arrays_of(), TinyLanguageModel())
    lengths = torch.cat(read).norm(dim=1).float()
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


@pytest.mark.parametrize(
    "changes",
    [
        {"stop_gradient": "difference"},
        {"stop_gradient": "reconstruction"},
        {"asymmetric": False},
    ],
)
def test_what_equation_14_subtracts_and_trains_is_a_choice(changes):
    settings = SETTINGS["setting 4"]
    changed = dataclasses.replace(settings, **changes)
    runs = [train(s, arrays_of(), TinyLanguageModel()) for s in (settings, changed)]
    assert not weights_equal(*runs)


def test_stage_2_draws_its_noise_anew_each_epoch_and_alike_for_rough_captions():
    arrays = arrays_of()
    mapping = build_model(SETTINGS["setting 1"], 6, 16, arrays.gaussian).mapping
    first, again, second = (
        mapped_embeddings(mapping, arrays, 0, epoch) for epoch in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert mapped_embeddings(None, arrays, 0, 0) is arrays.texts
    paired = arrays_of(images=unit_rows(3), image_row=torch.arange(20) % 3)
    expected = paired.images[paired.image_row]
    assert torch.equal(mapped_embeddings(None, paired, 0, 0), expected)
