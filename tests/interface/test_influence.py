import pytest
from toy_captioner import pictures

from tipcap.interface.influence import influences

ROUNDING = 1e-4  # float32 sums in another order


@pytest.fixture(scope="module")
def image(toy_captioner):
    return toy_captioner.embed(pictures()[:1])[0]


def refined(captioner, image, words):
    return captioner.caption_embeddings(image[None], words)[0]


def test_the_likelihood_is_that_of_the_search(toy_captioner, image):
    caption = toy_captioner.caption_embeddings(image[None])[0]
    found = toy_captioner.log_likelihood(image, caption.text)
    tokens = len(toy_captioner._tokenizer.backend.encode(caption.text).ids) + 1
    assert found == pytest.approx(caption.score * tokens, abs=ROUNDING)


def test_each_word_is_left_out_in_turn(toy_captioner, image):
    caption = refined(toy_captioner, image, ["tree", "boat"])
    found = influences(toy_captioner, image, caption)
    assert [each.word for each in found] == ["tree", "boat"]
    assert found[0].without == refined(toy_captioner, image, ["boat"]).text
    whole = toy_captioner.log_likelihood(
        image, caption.text, caption.rough, ["tree", "boat"]
    )
    less = toy_captioner.log_likelihood(image, caption.text, caption.rough, ["boat"])
    assert found[0].gain == pytest.approx(whole - less, abs=ROUNDING)


def test_without_the_only_word_there_is_the_rough_caption(toy_captioner, image):
    caption = refined(toy_captioner, image, "tree")
    (found,) = influences(toy_captioner, image, caption)
    assert found.without == caption.rough
    less = toy_captioner.log_likelihood(image, caption.text)
    assert found.gain == pytest.approx(
        toy_captioner.log_likelihood(image, caption.text, caption.rough, ["tree"])
        - less,
        abs=ROUNDING,
    )


def test_a_caption_without_words_was_driven_by_none(toy_captioner, image):
    (plain,) = toy_captioner.caption_embeddings(image[None])
    assert influences(toy_captioner, image, plain) == []
