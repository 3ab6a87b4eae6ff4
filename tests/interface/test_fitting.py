import numpy as np
import pytest
import torch
import toy_captioner
from toy_captioner import CAPTIONS

from tipcap.errors import InputError
from tipcap.interface.captioner import Captioner
from tipcap.interface.fitting import fit

GENERATOR = np.random.default_rng(0)


def unit(rows, width=16):
    vectors = GENERATOR.standard_normal((rows, width)).astype("float32")
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


TEXTS = unit(4)
FEW = {"epochs": 1, "batch_size": 2}


def test_a_captioner_says_of_pictures_what_it_read(toy_captioner, tiny_encoder):
    import toy_captioner as toy

    vectors = toy.embeddings_of(tiny_encoder)
    said = [caption.text for caption in toy_captioner.caption_embeddings(vectors)]
    assert said == list(CAPTIONS)


@pytest.mark.parametrize(
    ("setting", "more"),
    [
        (1, {"pairs": (unit(40), unit(40))}),
        (2, {"pairs": (unit(40), unit(40)), "correction": "mean"}),
        (2, {"pairs": (unit(40), unit(40)), "correction": "shared"}),
        (3, {"images": unit(9)}),
        (4, {}),
    ],
)
def test_every_setting_trains_and_is_kept(setting, more, tmp_path):
    losses = []
    captioner = fit(
        TEXTS,
        CAPTIONS,
        setting=setting,
        on_step=losses.append,
        name="own",
        **FEW,
        **more,
    )
    assert np.isfinite(losses[-1]["loss"])
    before = captioner.caption_embeddings(TEXTS)
    captioner.save(tmp_path / "kept")
    again = Captioner.load(tmp_path / "kept", device="cpu")
    assert again.caption_embeddings(TEXTS) == before
    assert again.name == "own"
    with pytest.raises(
        InputError, match="made from embeddings; call caption_embeddings"
    ):
        again.caption(toy_captioner.pictures()[0])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"setting": 5}, "setting: expected 1, 2, 3 or 4, found 5"),
        ({"setting": 1}, "pairs: expected them in setting 1, found none"),
        ({"setting": 3}, "images: expected them in setting 3, found none"),
        ({"setting": 4, "images": TEXTS}, "images: expected none in setting 4"),
        ({"setting": 1, "pairs": (TEXTS, TEXTS[:3])}, "found 4 images and 3 texts"),
        ({"setting": 1, "pairs": (unit(4, 8), TEXTS)}, r"pairs\[0\].*found \(4, 8\)"),
        ({"setting": 4, "captions": CAPTIONS[:2]}, "each of 4 rows of texts, found 2"),
        ({"setting": 4, "texts": 3 * TEXTS}, "texts: expected embeddings of norm 1"),
        ({"setting": 4, "learning_rat": 1.0}, "did you mean 'learning_rate'"),
        ({"setting": 4, "warmup_steps": 2}, "fewer than the 2 updates .* found 2"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_training(more, said):
    given = {"texts": TEXTS, "captions": CAPTIONS, **FEW, **more}
    with pytest.raises(InputError, match=said):
        fit(**given)


def test_a_batch_larger_than_the_corpus_is_said():
    with pytest.warns(UserWarning, match="at most the 4 captions of the corpus"):
        fit(TEXTS, CAPTIONS, setting=4, epochs=10, batch_size=8)


def test_a_short_training_has_a_short_warm_up():
    captioner = fit(TEXTS, CAPTIONS, setting=4, epochs=10, batch_size=2)
    assert captioner.about.steps["train"]["spec"]["warmup_steps"] == 2
    assert torch.isfinite(torch.tensor(captioner.caption_embeddings(TEXTS)[0].score))
