import dataclasses

import pytest
import torch
from toy_language_model import END_OF_TEXT, NEAR, Likings, ToyLanguageModel

from tipcap.core.decoding import beam_search
from tipcap.core.zerocap import Vocabulary, ZerocapSettings, zerocap_search
from tipcap.errors import InputError

VOCAB, TOKENS = 12, 5
START = torch.tensor([END_OF_TEXT, 4, 9])
MODEL = ToyLanguageModel(VOCAB).requires_grad_(False)
FAR = 3.0  # one layer needs larger steps than the authors' 24
PLAIN = {"end_factor": 1.0, "first_end_factor": 1.0, "forbidden_factor": 1.0}


def vocabulary(forbidden=(), ends=(END_OF_TEXT,)):
    is_forbidden = torch.zeros(VOCAB, dtype=torch.bool)
    is_forbidden[list(forbidden)] = True
    return Vocabulary(torch.tensor(ends), is_forbidden)


def search(likings, num_images=1, words=None, model=MODEL, **fields):
    standard = ZerocapSettings(max_tokens=TOKENS, candidates=6, **PLAIN)
    settings = dataclasses.replace(standard, **fields)
    return zerocap_search(
        model, likings, num_images, START, words or vocabulary(), settings
    )


def liking(*tokens):
    table = torch.zeros(len(tokens), VOCAB)
    table[torch.arange(len(tokens)), list(tokens)] = 1.0
    return Likings(table)


def plain_caption(model, beam):
    prefix = model.embed_tokens(START[None])
    found = beam_search(model, prefix, beam, TOKENS, END_OF_TEXT)
    return found.ids[0, : int(found.length[0])].tolist()


def test_without_steps_it_is_plain_decoding():
    for seed in range(4):
        model = ToyLanguageModel(VOCAB, seed=seed).requires_grad_(False)
        found = search(Likings(torch.zeros(2, VOCAB)), 2, model=model, num_iterations=0)
        for ids, length in zip(found.ids.tolist(), found.length.tolist(), strict=True):
            assert ids[:length] == plain_caption(model, 5)


def test_steps_bring_captions_nearer_to_their_images():
    tokens = [2, 3, 5, 6, 7, 8]
    likings = liking(*tokens)
    model = ToyLanguageModel(VOCAB, sharpness=1.0).requires_grad_(False)
    images = torch.arange(len(tokens))

    def fit(num_iterations):
        found = search(
            likings,
            len(tokens),
            model=model,
            beam=1,
            candidates=VOCAB,
            num_iterations=num_iterations,
            step_size=FAR,
        )
        return likings(images, found.ids[:, None])[:, 0]

    few, more = fit(0), fit(5)
    assert more.mean() > few.mean() + 0.1
    assert (more >= few - NEAR).sum() >= len(tokens) - 1


def test_a_heavy_divergence_keeps_what_the_model_says_by_itself():
    model = ToyLanguageModel(VOCAB, sharpness=1.0).requires_grad_(False)
    fields = {"model": model, "beam": 1, "candidates": VOCAB}
    led = search(liking(7), fluency_weight=0.2, step_size=FAR, **fields)
    held = search(liking(7), fluency_weight=1e6, step_size=1e-3, **fields)
    assert held.ids[0, : int(held.length[0])].tolist() == plain_caption(model, 1)
    assert led.ids.tolist() != held.ids.tolist()


def test_the_share_of_the_shifted_model_mixes_both():
    own = search(liking(7), beam=1, shifted_share=0.0)
    assert own.ids[0, : int(own.length[0])].tolist() == plain_caption(MODEL, 1)


def test_images_and_hypotheses_do_not_see_each_other():
    table = torch.randn(4, VOCAB, generator=torch.Generator().manual_seed(2)) / 5
    together = search(Likings(table), 4, beam=3, num_iterations=2)
    for image in range(4):
        alone = search(Likings(table[[image]]), 1, beam=3, num_iterations=2)
        length = int(together.length[image])
        assert int(alone.length[0]) == length
        assert torch.equal(alone.ids[0, :length], together.ids[image, :length])


def test_the_last_choice_among_hypotheses_is_clips():
    model = ToyLanguageModel(VOCAB, seed=3).requires_grad_(False)
    plain = search(Likings(torch.zeros(1, VOCAB)), model=model, num_iterations=0)
    first = int(plain.ids[0, 0])
    table = torch.zeros(1, VOCAB)
    table[0, first] = -1.0
    found = search(Likings(table), model=model, num_iterations=0)
    assert found.ids.tolist() != plain.ids.tolist()
    assert (found.ids == first).sum() < (plain.ids == first).sum()


def test_forbidden_tokens_and_early_ends_become_rare():
    nothing = Likings(torch.zeros(1, VOCAB))
    plain = search(nothing, num_iterations=0)
    taken = set(plain.ids.flatten().tolist()) - {END_OF_TEXT}
    words = vocabulary(forbidden=taken)
    found = search(nothing, words=words, num_iterations=0, forbidden_factor=1e6)
    assert not taken & set(found.ids.flatten().tolist())
    ends = tuple(range(1, VOCAB))  # whatever is written ends the caption
    short = search(nothing, words=vocabulary(ends=ends), num_iterations=0)
    assert short.length.tolist() == [1]


def test_a_start_of_one_token_is_refused():
    with pytest.raises(InputError, match="a start of two tokens, found 5 and 1"):
        zerocap_search(
            MODEL,
            liking(3),
            1,
            START[:1],
            vocabulary(),
            ZerocapSettings(max_tokens=TOKENS),
        )
