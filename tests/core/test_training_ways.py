"""The packed way, which is that of accelerators, computed here on the CPU."""

import dataclasses
import itertools
import threading
from contextlib import nullcontext

import pytest
import torch
from test_captioner import TinyLanguageModel
from test_ranks import on_ranks
from test_training import SETTINGS, arrays_of, prompts_of, same, settings_of

from tipcap.core import training_ways
from tipcap.core.captioner import pack_prompts
from tipcap.core.captured import Steps
from tipcap.core.ranks import Alone
from tipcap.core.training import train
from tipcap.core.training_batches import Packer, Source
from tipcap.core.training_losses import loss_parts
from tipcap.core.training_model import build_model
from tipcap.core.training_settings import in_precision, random_stream
from tipcap.core.training_state import TrainingState
from tipcap.core.types import Gaussian
from tipcap.errors import InputError, Stopped

LONG = {
    "setting 3": settings_of("trained", setting=3, clip_norm=1.0),
    "trained language model": settings_of(
        language_model_trainable=True, language_model_rate=0.1, label_smoothing=0.1
    ),
}


def curve(settings, packed, arrays=None, log_every=1, **named):
    records = []
    state = train(
        settings,
        arrays_of() if arrays is None else arrays,
        TinyLanguageModel(),
        on_step=records.append,
        log_every=log_every,
        packed=packed,
        **named,
    )
    return state, records


def assert_same_losses(found, wanted, tolerance):
    assert len(found) == len(wanted)
    for line, expected in zip(found, wanted, strict=True):
        assert line == pytest.approx(expected, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("name", SETTINGS)
def test_packed_batches_have_the_losses_of_padded_ones(name):
    """Also the last batch of an epoch, which is smaller."""
    (_, plain), (_, packed) = (curve(SETTINGS[name], way) for way in (False, True))
    assert_same_losses(packed, plain, 1e-5)


@pytest.mark.parametrize("name", LONG)
def test_two_hundred_packed_steps_are_those_of_the_plain_way(name):
    settings = dataclasses.replace(LONG[name], epochs=67)
    (state, plain), (other, packed) = (
        curve(settings, way, log_every=10) for way in (False, True)
    )
    assert plain[-1]["step"] == 201
    assert_same_losses(packed, plain, 1e-4)
    assert state.model.keys() == other.model.keys()


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_interrupted_packed_run_ends_with_the_same_bytes(name, stop):
    undisturbed, _ = curve(SETTINGS[name], True)
    states = []
    curve(SETTINGS[name], True, on_checkpoint=states.append, checkpoint_every=1)
    stored = states[stop - 1].to_tensors()
    state = TrainingState.from_tensors({k: t.clone() for k, t in stored.items()})
    resumed, _ = curve(SETTINGS[name], True, state=state)
    assert same(resumed, undisturbed)


def test_stage_2_is_packed_with_its_prompts():
    arrays = arrays_of()
    weights = curve(SETTINGS["setting 3"], False)[0].model
    settings = dataclasses.replace(
        SETTINGS["setting 3"], stage=2, warmup_steps=0, learning_rate=1e-3
    )
    prompted = [pack_prompts(prompts_of(seed), arrays.tokens) for seed in (1, 2)]
    prompted = arrays._replace(prompted=prompted)
    (_, plain), (_, packed) = (
        curve(settings, way, prompted, weights=weights) for way in (False, True)
    )
    assert_same_losses(packed, plain, 1e-5)


@pytest.mark.parametrize("count", [2, 3])
def test_several_ranks_pack_their_own_rows(count):
    """The last batch has one row: fewer than ranks."""
    settings, arrays = SETTINGS["setting 4"], arrays_of(17)
    _, wanted = curve(settings, False, arrays)
    for _, found in on_ranks(
        count, lambda ranks: curve(settings, True, arrays, ranks=ranks)
    ):
        assert_same_losses(found, wanted, 1e-4)


def test_captions_that_are_too_long_are_refused_before_the_first_step():
    with pytest.raises(InputError, match="expected at most 5 positions"):
        train(
            SETTINGS["setting 1"],
            arrays_of(),
            TinyLanguageModel(max_positions=5),
            packed=True,
        )


class Tape:
    """Plays the part of a device: what is captured is done when it is played, and not before."""

    def __init__(self):
        self.captured = self.played = 0

    def warm_up(self, run):
        run()
        run()

    def capture(self, run):
        self.captured += 1

        def again():
            self.played += 1
            run()

        return again


class Broken(Tape):
    def capture(self, run):
        run()  # as a capture that fails half way may have
        raise RuntimeError("operation not permitted when stream is capturing")


@pytest.fixture
def recorded(monkeypatch):
    """Trains with a recorder, and returns the facts too."""

    def run(settings, recorder, **named):
        monkeypatch.setattr(
            training_ways,
            "Steps",
            lambda *given, compiles, captures_update: Steps(
                *given[:-1], recorder, captures_update=captures_update
            ),
        )
        facts = {}
        state, records = curve(settings, True, on_way=facts.update, **named)
        return state, records, facts

    return run


@pytest.mark.parametrize("name", ["setting 3", "setting 4", "trainable language model"])
def test_captured_steps_are_the_same_bytes(name, recorded):
    """Warming up changes nothing; whole batches are played, the last ones of an epoch are not."""
    plain, _ = curve(SETTINGS[name], True)
    tape = Tape()
    state, _, facts = recorded(SETTINGS[name], tape)
    assert same(state, plain)
    assert (tape.captured, tape.played) == (1, 4)  # two of three batches in two epochs
    assert facts == {"steps": "packed, captured"}


def test_a_device_that_captures_nothing_goes_step_by_step_and_says_why(recorded):
    plain, _ = curve(SETTINGS["setting 4"], True)
    state, _, facts = recorded(SETTINGS["setting 4"], Broken())
    assert same(state, plain)
    assert facts["steps"] == "packed, step by step"
    assert "captured: operation not permitted" in facts["steps_refused"]


class TapeOfEach:
    """One tape for each rank, which is a thread here."""

    def __init__(self):
        self.own = threading.local()

    def __getattr__(self, name):
        if not hasattr(self.own, "tape"):
            self.own.tape = Tape()
        return getattr(self.own.tape, name)


def test_several_ranks_average_gradients_beside_what_is_captured(recorded):
    settings, tapes = SETTINGS["setting 4"], TapeOfEach()
    _, wanted = curve(settings, False)
    for _, found, _ in on_ranks(
        2, lambda ranks: recorded(settings, tapes, ranks=ranks)
    ):
        assert_same_losses(found, wanted, 1e-4)


def test_dropout_of_a_step_is_the_same_captured_and_after_a_resume(recorded):
    settings = settings_of(
        language_model_trainable=True, language_model_dropout=0.3, epochs=2
    )
    plain, _ = curve(settings, True)
    assert same(recorded(settings, Tape())[0], plain)


def test_half_precision_holds_the_frozen_language_model_alone_in_it():
    settings = SETTINGS["setting 4"]
    given = TinyLanguageModel()
    facts, found = {}, []
    state = train(
        settings,
        arrays_of(),
        given,
        on_step=found.append,
        log_every=1,
        packed=True,
        bfloat16=True,
        on_way=facts.update,
    )
    _, exact = curve(settings, True)
    assert facts["precision"] == "bfloat16"
    assert {t.dtype for t in state.model.values()} == {torch.float32}
    assert {t.dtype for t in state.second_moment.values()} == {torch.float32}
    assert {p.dtype for p in given.parameters()} == {torch.float32}
    for line, other in zip(found, exact, strict=True):
        assert line["loss"] == pytest.approx(other["loss"], rel=0.02)
        assert line["loss"] != other["loss"]
    # what compares embeddings is in full precision: the first step has the same
    for part in ("reconstruction", "map", "distillation"):
        assert found[0][part] == pytest.approx(exact[0][part], rel=1e-6)


def test_double_precision_is_computed_in_it_whatever_is_asked_for():
    settings = SETTINGS["double precision"]
    state, _ = curve(settings, True)
    asked, _ = curve(settings, True, bfloat16=True)
    assert same(state, asked)


def test_a_stop_between_records_saves_the_state_of_the_batches_that_were_used():
    """Batches are prepared ahead; their draws are not."""
    settings = dataclasses.replace(SETTINGS["setting 3"], epochs=3)
    undisturbed, _ = curve(settings, True)
    saved, asked = [], itertools.count()
    with pytest.raises(Stopped):
        curve(
            settings,
            True,
            on_checkpoint=saved.append,
            stop_requested=lambda: next(asked) == 3,
        )
    resumed, _ = curve(settings, True, state=saved[-1])
    assert saved[-1].step == 4
    assert same(resumed, undisturbed)


@pytest.mark.parametrize("name", SETTINGS)
def test_no_step_asks_what_the_numbers_are(name, monkeypatch):
    """On the device `meta` tensors have shapes alone: an answer would have to be waited for, and nothing captured."""
    # it knows no autocast
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    settings = SETTINGS[name]
    given = arrays_of()
    model = build_model(settings, 6, 16, given.gaussian).to("meta")
    streams = {n: random_stream(0, n) for n in ("noise", "images")}
    source = Source(
        settings, in_precision(given, settings.dtype), model.mapping, streams
    )
    packed = Packer(source, Alone(), 4, is_pinned=False).pack(source.draw(0), 0.1)
    language_model = TinyLanguageModel().to("meta", settings.dtype)
    unpaired = None
    if settings.map_loss == "exact":
        unpaired = Gaussian(*(part.to("meta").double() for part in given.gaussian))
    batch = packed.batch(packed.floats.to("meta"), packed.integers.to("meta"))
    parts = loss_parts(settings, model, batch, unpaired, language_model, Alone())
    torch.stack(list(parts.values())).sum().backward()
    assert {part.device.type for part in parts.values()} == {"meta"}


def test_language_models_that_read_no_packed_batches_are_padded():
    assert not training_ways.packs(TinyLanguageModel(), torch.device("cpu"))
    assert training_ways.packs(TinyLanguageModel(), torch.device("cuda"))
    model = TinyLanguageModel()
    model.reads_packed = False
    assert not training_ways.packs(model, torch.device("cuda"))
