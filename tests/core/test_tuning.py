import dataclasses

import pytest
import torch
from toy_language_model import NEAR, ToyLanguageModel

from tipcap.core.training_state import TrainingState
from tipcap.core.tuning import (
    TuningSettings,
    contrastive_loss,
    tune,
    tuning_losses,
)
from tipcap.core.types import TokenBatch
from tipcap.errors import InputError, Stopped

TOKENS = TokenBatch(
    torch.tensor([[5, 6, 7, 0], [5, 6, 8, 0], [9, 0, 0, 0]]), torch.tensor([4, 4, 2])
)
SETTINGS = TuningSettings(seed=0, num_steps=30, batch_size=4, learning_rate=0.02)


def model():
    return ToyLanguageModel(sharpness=1.0)


def test_contrastive_loss_of_two_states_is_its_formula():
    states = torch.tensor([[[1.0, 0.0], [0.6, 0.8], [9.0, 9.0]]])
    found = contrastive_loss(states, torch.tensor([2]), 0.5)
    assert found.item() == pytest.approx(0.5 - 1 + 0.6, abs=NEAR)


def test_states_further_apart_than_the_margin_cost_nothing():
    states = torch.eye(3)[None]
    assert contrastive_loss(states, torch.tensor([3]), 0.5).item() == 0.0
    assert contrastive_loss(states, torch.tensor([1]), 0.5).item() == 0.0


def test_padding_changes_no_loss():
    wider = TokenBatch(torch.cat([TOKENS.ids, torch.full((3, 2), 3)], 1), TOKENS.length)
    for one, other in zip(
        tuning_losses(model(), TOKENS, 0.5),
        tuning_losses(model(), wider, 0.5),
        strict=True,
    ):
        assert one.item() == pytest.approx(other.item(), abs=NEAR)


def test_tuning_lowers_both_losses():
    tuned = model()
    before = [x.item() for x in tuning_losses(tuned, TOKENS, 0.5)]
    tune(SETTINGS, TOKENS, tuned)
    after = [x.item() for x in tuning_losses(tuned, TOKENS, 0.5)]
    assert after[0] < 0.7 * before[0]
    assert sum(after) < sum(before)


def test_what_stops_goes_on_to_the_same_bytes():
    whole = tune(SETTINGS, TOKENS, model(), log_every=10)
    saved = []
    with pytest.raises(Stopped, match="at step 10 of 30"):
        tune(
            SETTINGS,
            TOKENS,
            model(),
            on_checkpoint=saved.append,
            stop_requested=lambda: True,
            log_every=10,
        )
    state = TrainingState.from_tensors(saved[-1].to_tensors())
    rest = tune(SETTINGS, TOKENS, model(), state=state, log_every=10)
    assert whole.model.keys() == rest.model.keys()
    assert all(torch.equal(whole.model[k], rest.model[k]) for k in whole.model)


def test_the_state_of_another_model_is_refused_in_one_line():
    state = tune(SETTINGS, TOKENS, model())
    of_fewer = state._replace(first_moment={})
    of_others = state._replace(model={"language_model.x": torch.zeros(1)})
    for given in (of_fewer, of_others):
        with pytest.raises(InputError, match="found others") as error:
            tune(SETTINGS, TOKENS, model(), state=given)
        assert "\n" not in str(error.value)


def test_packed_batches_tune_as_padded_ones():
    records = {}
    for packed in (False, True):
        records[packed], facts = [], {}
        tune(
            dataclasses.replace(SETTINGS, dropout=0.0, num_steps=200),
            TOKENS,
            model(),
            on_step=records[packed].append,
            on_way=facts.update,
            packed=packed,
            log_every=1,
        )
    assert facts == {"steps": "packed, step by step"}
    for line, expected in zip(records[True], records[False], strict=True):
        assert line == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_packed_tuning_goes_on_to_the_same_bytes():
    """With dropout, which is drawn anew at every step."""
    saved = []
    whole = tune(
        SETTINGS,
        TOKENS,
        model(),
        packed=True,
        on_checkpoint=saved.append,
        checkpoint_every=13,
    )
    state = TrainingState.from_tensors(saved[0].to_tensors())
    rest = tune(SETTINGS, TOKENS, model(), state=state, packed=True)
    assert saved[0].step == 13
    assert all(torch.equal(whole.model[k], rest.model[k]) for k in whole.model)


def test_half_precision_tunes_nearly_alike():
    losses = {}
    for packed in (False, True):
        facts, found = {}, []
        tune(
            SETTINGS,
            TOKENS,
            model(),
            on_step=found.append,
            on_way=facts.update,
            packed=packed,
            bfloat16=True,
        )
        assert facts["precision"] == "bfloat16"
        losses[packed] = found[-1]["loss"]
    exact = []
    tune(SETTINGS, TOKENS, model(), on_step=exact.append, packed=True)
    assert losses[True] == pytest.approx(exact[-1]["loss"], rel=0.05)


def test_dropout_and_seed_are_part_of_the_result():
    def tuned(**fields):
        found = tune(dataclasses.replace(SETTINGS, **fields), TOKENS, model())
        return found.model["language_model.output"]

    assert torch.equal(tuned(), tuned())
    assert not torch.equal(tuned(), tuned(dropout=0.0))
    assert not torch.equal(tuned(), tuned(seed=1))


def test_records_say_where_it_is():
    records = []
    tune(SETTINGS, TOKENS, model(), on_step=records.append, log_every=15)
    assert [record["step"] for record in records] == [15, 30]
    assert records[0].keys() == {
        "step",
        "learning_rate",
        "loss",
        "caption",
        "contrastive",
    }


def test_no_captions_are_refused():
    nothing = TokenBatch(torch.zeros(0, 4, dtype=torch.int64), torch.zeros(0))
    with pytest.raises(InputError, match="expected captions, found none"):
        tune(SETTINGS, nothing._replace(length=nothing.length.long()), model())


def test_a_loss_that_explodes_is_named():
    wild = dataclasses.replace(SETTINGS, learning_rate=1e30, max_gradient_norm=1e30)
    with pytest.raises(InputError, match="expected a finite loss"):
        tune(wild, TOKENS, model())
