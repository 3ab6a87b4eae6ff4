import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from test_captioner import TinyLanguageModel, random_tokens

from tipcap.core.captioner import pack_prompts
from tipcap.core.gaussian import sample_gap
from tipcap.core.training import train
from tipcap.core.training_model import build_model
from tipcap.core.training_settings import TrainingArrays, TrainingSettings
from tipcap.core.training_state import TrainingState
from tipcap.core.types import Gaussian, TokenBatch
from tipcap.errors import InputError

DIM = 6


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def settings_of(gap="none", **fields):
    small = dict(gap=gap, seed=0, num_layers=1, epochs=2, batch_size=8, warmup_steps=2)
    return TrainingSettings(**{**small, **fields})


def unit_rows(num_rows, dim=DIM, seed=0):
    return F.normalize(torch.randn(num_rows, dim, generator=seeded(seed)), dim=1)


def arrays_of(num_captions=20, **fields):
    lengths = torch.randint(1, 7, (num_captions,), generator=seeded(3)).tolist()
    arrays = TrainingArrays(
        unit_rows(num_captions),
        random_tokens([*lengths[1:], 6]),
        Gaussian(torch.full((DIM,), 0.2), 0.1 * torch.eye(DIM)),
        images=unit_rows(9, seed=5),
    )
    return arrays._replace(**fields)


def same(first, second):
    first, second = first.to_tensors(), second.to_tensors()
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def weights_equal(first, second):
    return all(torch.equal(first.model[n], second.model[n]) for n in second.model)


SETTINGS = {
    "setting 1": settings_of("estimated", setting=1),
    "no reverse mapping": settings_of("estimated", setting=1, reverse_mapping=False),
    "setting 3": settings_of("trained", setting=3),
    "setting 3, nll, diagonal": settings_of(
        "trained", setting=3, map_loss="nll", covariance="diagonal"
    ),
    "setting 3, exact": settings_of(
        "trained", setting=3, map_loss="exact", mapping_rate=0.5, clip_norm=0.1
    ),
    "setting 4": settings_of("trained", setting=4),
    "setting 4, univariate": settings_of("trained", setting=4, covariance="univariate"),
    "fixed noise": settings_of("fixed", noise_std=0.1),
    "as drawn": settings_of("estimated", setting=1, initialisation="plain"),
    "double precision": settings_of("trained", setting=4, precision="float64"),
    "trainable language model": settings_of(language_model_trainable=True),
    "slower language model, no layers": settings_of(
        num_layers=0, language_model_trainable=True, language_model_rate=0.1
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_interrupted_run_ends_with_the_same_bytes(name, stop):
    """Three steps make an epoch: 1 and 4 are in the middle of one."""
    settings, arrays = SETTINGS[name], arrays_of()
    undisturbed = train(settings, arrays, TinyLanguageModel())
    states = []
    train(
        settings,
        arrays,
        TinyLanguageModel(),
        on_checkpoint=states.append,
        checkpoint_every=1,
    )
    stored = states[stop - 1].to_tensors()
    state = TrainingState.from_tensors({k: t.clone() for k, t in stored.items()})
    assert state.step == stop
    resumed = train(settings, arrays, TinyLanguageModel(), state=state)
    assert same(resumed, undisturbed)


def test_equal_seeds_give_equal_bytes_and_others_do_not():
    settings, arrays = SETTINGS["setting 1"], arrays_of()
    runs = [
        train(dataclasses.replace(settings, seed=seed), arrays, TinyLanguageModel())
        for seed in (0, 0, 1)
    ]
    assert same(runs[0], runs[1])
    assert not weights_equal(runs[0], runs[2])


def test_training_neither_reads_nor_moves_the_global_generator():
    before = torch.random.get_rng_state()
    first = train(SETTINGS["setting 3"], arrays_of(), TinyLanguageModel())
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(99)
    assert same(first, train(SETTINGS["setting 3"], arrays_of(), TinyLanguageModel()))


def test_records_and_checkpoints_do_not_change_the_result():
    settings, arrays = SETTINGS["setting 4"], arrays_of()
    quiet = train(settings, arrays, TinyLanguageModel())
    observed = train(
        settings,
        arrays,
        TinyLanguageModel(),
        on_step=lambda record: None,
        on_checkpoint=lambda state: None,
        log_every=1,
        checkpoint_every=2,
    )
    assert same(quiet, observed)


class RecordingLanguageModel(TinyLanguageModel):
    def __init__(self):
        super().__init__(vocab=40)
        self.read = []

    def embed_tokens(self, ids):
        self.read.append(ids.clone())
        return super().embed_tokens(ids)


def test_each_epoch_reads_every_caption_once_in_another_order():
    number = torch.arange(20)
    ids = torch.stack([number, number, number], 1)
    tokens = TokenBatch(ids, torch.full((20,), 3))
    language_model = RecordingLanguageModel()
    train(settings_of(), arrays_of(tokens=tokens), language_model)
    seen = torch.cat(language_model.read)[:, 0].view(2, 20)
    assert torch.equal(seen.sort(1).values, number.expand(2, -1))
    assert not torch.equal(seen[0], seen[1])


def test_batches_are_cut_to_their_longest_caption():
    length = torch.full((20,), 2)
    tokens = TokenBatch(torch.zeros(20, 30, dtype=torch.int64), length)
    language_model = RecordingLanguageModel()
    train(settings_of(), arrays_of(tokens=tokens), language_model)
    # the last token of a caption is predicted, never read
    assert {batch.shape[1] for batch in language_model.read} == {1}


def test_records_come_at_the_asked_steps_and_at_each_epochs_end():
    steps, checkpoints = [], []
    train(
        settings_of(),
        arrays_of(),
        TinyLanguageModel(),
        log_every=2,
        on_step=lambda record: steps.append(record["step"]),
        on_checkpoint=lambda state: checkpoints.append(state.step),
    )
    assert steps == [2, 3, 4, 6]
    assert checkpoints == [3, 6]


@pytest.mark.parametrize("form", ["moments", "nll", "exact"])
def test_setting_3_moves_the_mapping_to_the_gap_of_unpaired_images(form):
    truth = Gaussian(torch.tensor([0.5, -0.3, 0.0]), 0.2 * torch.eye(3))
    texts, others = unit_rows(256, 3, seed=1), unit_rows(300, 3, seed=2)
    images = others + sample_gap(truth, 300, generator=seeded(3))
    settings = settings_of(
        "trained",
        setting=3,
        map_loss=form,
        map_weight=100.0,  # the other losses ask for less noise
        initial_mean="zero",
        epochs=60,
        batch_size=64,
        learning_rate=1e-2,
    )
    records = []
    state = train(
        settings,
        arrays_of(256, texts=texts, images=images),
        TinyLanguageModel(),
        on_step=records.append,
    )
    model = build_model(settings, 3, 16)
    model.load_state_dict(state.model)
    with torch.no_grad():
        found = model.mapping.gaussian()
    # what random pairs show: the mean of the gap, and the scatter of both sides
    mean = images.mean(0) - texts.mean(0)
    std = (torch.cov(images.T) + torch.cov(texts.T)).diagonal().sqrt()
    assert (found.mean - mean).norm() < 0.1
    assert (found.mean - truth.mean).norm() < truth.mean.norm() / 2
    found_std = (found.factor @ found.factor.T).diagonal().sqrt()
    # 240 steps of batches of 64: a few per cent of scatter, and weight decay
    torch.testing.assert_close(found_std, std, rtol=0.1, atol=0)
    assert records[-1]["map"] < records[0]["map"]


def test_double_precision_is_that_of_everything():
    plain = settings_of("estimated", setting=1, language_model_trainable=True)
    double = dataclasses.replace(plain, precision="float64")
    records = {}
    for settings in (plain, double):
        language_model, records[settings] = TinyLanguageModel(), []
        state = train(
            settings, arrays_of(), language_model, on_step=records[settings].append
        )
        floats = {t.dtype for t in state.model.values()}
        floats |= {t.dtype for t in state.second_moment.values()}
        floats |= {p.dtype for p in language_model.parameters()}
        assert floats == {settings.dtype}
    first, other = (records[settings][0]["loss"] for settings in (plain, double))
    assert first == pytest.approx(other, rel=0.05)  # other draws of the noise


def test_loss_falls_on_a_small_corpus():
    records = []
    train(
        settings_of("estimated", epochs=60, learning_rate=5e-3),
        arrays_of(8),
        TinyLanguageModel(lm_dim=32),
        on_step=records.append,
    )
    assert records[-1]["caption"] < 0.5 * records[0]["caption"]


def test_loss_that_is_not_finite_names_the_step_and_the_part():
    texts = arrays_of().texts.clone()
    texts[7] = math.nan
    with pytest.raises(
        InputError, match=r"caption nan, reconstruction nan at step [012];"
    ):
        train(settings_of(), arrays_of(texts=texts), TinyLanguageModel())


def test_no_checkpoint_is_given_after_a_loss_that_is_not_finite():
    checkpoints = []
    with pytest.raises(InputError, match="finite loss"):
        train(
            settings_of(learning_rate=math.inf),
            arrays_of(),
            TinyLanguageModel(),
            on_checkpoint=checkpoints.append,
        )
    assert checkpoints == []


def stage_two(arrays, prompts, **fields):
    base = train(SETTINGS["setting 3"], arrays, TinyLanguageModel())
    settings = dataclasses.replace(
        SETTINGS["setting 3"], stage=2, warmup_steps=0, learning_rate=1e-3, **fields
    )
    tuned = train(
        settings,
        arrays._replace(prompted=[pack_prompts(p, arrays.tokens) for p in prompts]),
        TinyLanguageModel(),
        weights=base.model,
    )
    return base, tuned


def prompts_of(seed):
    return TokenBatch(
        random_tokens([4] * 20, seed=seed).ids,
        torch.randint(0, 5, (20,), generator=seeded(seed)),
    )


def test_stage_2_trains_the_projector_only_from_the_given_weights():
    base, tuned = stage_two(arrays_of(), [prompts_of(1), prompts_of(2)])
    changed = {n for n in base.model if not torch.equal(base.model[n], tuned.model[n])}
    assert changed
    assert all(name.startswith("captioner.projector.") for name in changed)
    drift = (
        tuned.model["captioner.projector.constants"]
        - (base.model["captioner.projector.constants"])
    )
    assert drift.abs().max() < 0.01  # six steps of at most 1e-3 each, plus decay


def test_stage_2_reads_the_prompts_of_each_epoch():
    arrays = arrays_of()
    first = stage_two(arrays, [prompts_of(1), prompts_of(2)])[1]
    again = stage_two(arrays, [prompts_of(1), prompts_of(2)])[1]
    other = stage_two(arrays, [prompts_of(1), prompts_of(3)])[1]
    assert weights_equal(first, again)
    assert not weights_equal(first, other)


def test_stage_2_of_setting_3_needs_no_images():
    base, tuned = stage_two(arrays_of(), [prompts_of(1), prompts_of(2)])
    settings = dataclasses.replace(
        SETTINGS["setting 3"], stage=2, warmup_steps=0, learning_rate=1e-3
    )
    arrays = arrays_of(images=None)
    prompted = [pack_prompts(prompts_of(seed), arrays.tokens) for seed in (1, 2)]
    without = train(
        settings,
        arrays._replace(prompted=prompted),
        TinyLanguageModel(),
        weights=base.model,
    )
    assert weights_equal(tuned, without)


def test_bfloat16_changes_the_arithmetic_little():
    records = {True: [], False: []}
    for bfloat16, of_run in records.items():
        train(
            SETTINGS["setting 1"],
            arrays_of(),
            TinyLanguageModel(),
            on_step=of_run.append,
            bfloat16=bfloat16,
        )
    for exact, rounded in zip(records[False], records[True], strict=True):
        assert rounded["loss"] == pytest.approx(exact["loss"], rel=0.02)
        assert rounded["loss"] != exact["loss"]
