import dataclasses

import pytest
import torch
import torch.nn.functional as F
from toy_language_model import END_OF_TEXT, Likings, ToyLanguageModel

from tipcap.core.decoding import greedy
from tipcap.core.magic import MagicSettings, magic_search
from tipcap.errors import InputError

VOCAB, TOKENS = 12, 6
MODEL = ToyLanguageModel(VOCAB)


def search(likings=None, num_images=2, model=MODEL, **fields):
    likings = Likings(torch.zeros(num_images, VOCAB)) if likings is None else likings
    settings = dataclasses.replace(MagicSettings(max_tokens=TOKENS), **fields)
    return magic_search(model, likings, num_images, settings)


def slow_contrastive_search(model, k, alpha):
    """As SimCTG's paper writes it, without a cache, one caption."""
    ids = [END_OF_TEXT]
    with torch.no_grad():
        while len(ids) <= TOKENS:
            states, _ = model.read(model.embed_tokens(torch.tensor([ids])), None)
            logits = model.head(states[0, -1])
            if len(ids) == 1:  # no caption is empty
                logits[END_OF_TEXT] = -torch.inf
            probability = logits.softmax(0)
            scores = {}
            for token in probability.topk(k).indices.tolist():
                longer = model.embed_tokens(torch.tensor([[*ids, token]]))
                unit = F.normalize(model.read(longer, None)[0][0], dim=1)
                repeats = (unit[:-1] @ unit[-1]).max()
                scores[token] = (1 - alpha) * probability[token] - alpha * repeats
            ids.append(max(scores, key=scores.get))
            if ids[-1] == END_OF_TEXT:
                break
    return ids[1:]


def test_one_candidate_is_greedy_search():
    first = MODEL.embed_tokens(torch.full((1, 1), END_OF_TEXT)).detach()
    expected = greedy(MODEL, first, TOKENS, END_OF_TEXT)
    found = search(num_images=1, candidates=1, image_weight=0.0)
    assert torch.equal(found.ids, expected.ids)
    assert torch.equal(found.length, expected.length)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.6])
def test_without_the_image_it_is_contrastive_search(alpha):
    for seed in range(4):
        model = ToyLanguageModel(VOCAB, seed=seed)
        found = search(
            model=model, candidates=4, repetition_weight=alpha, image_weight=0.0
        )
        expected = slow_contrastive_search(model, 4, alpha)
        for ids, length in zip(found.ids.tolist(), found.length.tolist(), strict=True):
            assert ids[:length] == expected


def test_without_the_image_clip_is_not_asked():
    likings = Likings(torch.zeros(2, VOCAB))
    search(likings, image_weight=0.0)
    assert likings.calls == 0


def test_a_heavy_image_takes_what_it_likes_among_the_candidates():
    table = torch.zeros(2, VOCAB)
    table[0, 3], table[1, 7] = 1.0, 1.0
    found = search(Likings(table), candidates=VOCAB, image_weight=1e6)
    assert (found.ids[0] == 3).all()
    assert (found.ids[1] == 7).all()
    assert found.length.tolist() == [TOKENS, TOKENS]


def test_the_image_does_not_choose_what_the_language_model_did_not_offer():
    table = torch.zeros(1, VOCAB)
    least = MODEL.step(MODEL.embed_tokens(torch.zeros(1, 1, dtype=torch.long)), None)[0]
    token = int(least.argmin())
    table[0, token] = 1.0
    found = search(Likings(table), 1, candidates=3, image_weight=1e6)
    assert found.ids[0, 0] != token


def test_a_caption_is_never_empty():
    model = ToyLanguageModel(VOCAB)
    with torch.no_grad():
        first = model.embed_tokens(torch.zeros(1, 1, dtype=torch.long))
        state = model.read(first, None)[0][0, 0]
        model.output[:, END_OF_TEXT] = 9.0 * state.sign()
    found = search(model=model, candidates=1, image_weight=0.0)
    assert (found.ids[:, 0] != END_OF_TEXT).all()


def test_images_do_not_see_each_other():
    table = torch.randn(5, VOCAB, generator=torch.Generator().manual_seed(1))
    together = search(Likings(table), 5, candidates=5)
    for image in range(5):
        alone = search(Likings(table[[image]]), 1, candidates=5)
        length = int(together.length[image])
        assert int(alone.length[0]) == length
        assert torch.equal(alone.ids[0, :length], together.ids[image, :length])


def test_more_tokens_than_positions_are_refused():
    with pytest.raises(InputError, match=r"expected at most 31 tokens .* found 32"):
        search(max_tokens=32)
