import pytest
from test_captioner import TinyLanguageModel, random_tokens
from test_training import arrays_of, settings_of, unit_rows

from tipcap.core.training import train
from tipcap.core.training_settings import learning_rate_at, num_steps
from tipcap.errors import InputError


def test_learning_rate_rises_to_the_asked_value_and_falls_to_zero():
    settings = settings_of(learning_rate=1e-3, warmup_steps=4)
    rates = [learning_rate_at(settings, step, 12) for step in range(12)]
    assert rates[:5] == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3])
    assert rates[4:] == pytest.approx([1e-3 * k / 8 for k in range(8, 0, -1)])


def test_incomplete_last_batch_is_trained_on():
    assert num_steps(settings_of(epochs=3, batch_size=8), 17) == 9


@pytest.mark.parametrize(
    ("settings", "fields", "message"),
    [
        (settings_of("estimated"), {"gaussian": None}, "modality gap.*found none"),
        (settings_of("fixed"), {}, "noise_std"),
        (settings_of("trained"), {}, "setting 3 or 4"),
        (settings_of("trained", setting=3), {"images": None}, "image embeddings"),
        (settings_of("trained", setting=3), {"images": unit_rows(3, 4)}, "found 4"),
        (settings_of("trained", setting=4, reverse_mapping=False), {}, "Table V"),
        (settings_of("paired"), {}, "image of each caption"),
        (settings_of("trained", setting=4, map_loss="exact"), {}, "in setting 3 only"),
        (settings_of(), {"tokens": random_tokens((1, 2))}, "20 captions.*found 2"),
        (settings_of(), {"prompted": []}, "prompts for 2 epochs, found 0"),
    ],
)
def test_arrays_that_do_not_fit_the_settings_are_refused_in_one_line(
    settings, fields, message
):
    with pytest.raises(InputError, match=message) as error:
        train(settings, arrays_of(**fields), TinyLanguageModel())
    assert "\n" not in str(error.value)
