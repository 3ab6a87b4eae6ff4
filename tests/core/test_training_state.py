import pytest
import torch
from test_captioner import TinyLanguageModel
from test_training import SETTINGS, arrays_of, same, settings_of

from tipcap.core.training import train
from tipcap.core.training_state import TrainingState
from tipcap.errors import InputError
from tipcap.io.store import read_tensors, write_tensors


def test_state_survives_a_file(tmp_path):
    state = train(SETTINGS["setting 4"], arrays_of(), TinyLanguageModel())
    write_tensors(tmp_path / "state.safetensors", state.to_tensors())
    stored = read_tensors(tmp_path / "state.safetensors")
    assert same(TrainingState.from_tensors(stored), state)


def test_weights_and_states_of_another_model_are_refused_in_one_line():
    state = train(settings_of(), arrays_of(), TinyLanguageModel())
    longer = settings_of(prefix_length=5)
    for given in ({"state": state}, {"weights": state.model}):
        with pytest.raises(InputError, match="found others") as error:
            train(longer, arrays_of(), TinyLanguageModel(), **given)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="delete the checkpoint"):
        TrainingState.from_tensors({"vectors": torch.zeros(1)})
